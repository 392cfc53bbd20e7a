import type { Action, ToolCall } from '../../../schemas/environment-protocol.js';
import { parseCalls, type ActionFormat } from '../../rollout/tool-calls.js';

/** What a model can write at its worst, by name: code in names and arguments, huge and deep values, control characters. */
export function hostileActions(format: ActionFormat): [string, Action][] {
  const call = (name: string, positional: unknown[] = [], keyword: Record<string, unknown> = {}): ToolCall =>
    ({ name, positional, keyword }) as ToolCall;
  const written = (content: string): Action => ({ content, calls: parseCalls(content, format) });
  const calls = (...made: ToolCall[]): Action => ({ content: '', calls: made });
  const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
  const programs: [string, string][] = [
    ['a program that never ends', 'while True:\n    try:\n        pass\n    except BaseException:\n        pass'],
    ['a program that prints without end', "while True:\n    print('x' * 100_000)"],
    ['a program that ends the process', 'import os\nos.abort()'],
    ['a program that runs another', "import os\nos.system('sleep 100')"],
    ['a program that reads files', "print(open('/etc/passwd').read())"],
    ['a program that is none', 'def ('],
    ['a program of brackets', '('.repeat(50_000)],
    ['half a surrogate pair in a program', "print('\ud800')"],
  ];
  return [
    ...(format === 'code-block'
      ? programs.map(([what, code]): [string, Action] => [what, calls(call('python', [code]))])
      : []),
    ['nothing', written('')],
    ['prose', written('I am afraid I cannot do that.')],
    ['half a call', written(format === 'hermes' ? '<tool_call>{"name": "ls", "argum' : 'CALL ls(')],
    ['JSON that is none', written('<tool_call>{"name": ls, arguments}</tool_call>\nCALL ls({a: 1})')],
    ['a call that is told to be malformed', calls({ malformed: 'line 1: not a call' })],
    ['a name with code', calls(call("__import__('os').getcwd() or ls"))],
    [
      'names of the language',
      calls(
        ...['__init__', 'constructor', 'toString', '__proto__', 'eval', 'exit', 'require', ''].map((name) =>
          call(name),
        ),
      ),
    ],
    ['argument names with code', calls(call('ls', [], { "x=__import__('os')": 1, '': 2, 'a b': 3 }))],
    ['a huge name', calls(call('x'.repeat(100_000)))],
    ['a huge argument', calls(call('ls', ['x'.repeat(500_000)]))],
    ['control characters', written('\u0000\u0001\u001b[2J\r\n\u2028<|im_end|>CALL ls("\u0000")')],
    ['deep JSON', calls(call('ls', [deep(12)]))],
    ['deeper JSON than the protocol takes', calls(call('ls', [deep(60)]))],
    ['a number that is none', calls(call('ls', [{ $number: "__import__('os')" }]))],
    ['many calls', calls(...Array.from({ length: 40 }, () => call('ls')))],
    ['10 MB of text', { content: 'x'.repeat(10_000_000), calls: [] }],
  ];
}
