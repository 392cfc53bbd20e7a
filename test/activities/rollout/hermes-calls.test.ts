import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCalls, renderCalls, type WellFormedCall } from '../../../activities/rollout/tool-calls.js';

const parse = (text: string) => parseCalls(text, 'hermes');
const one = (json: string) => parse(`<tool_call>${json}</tool_call>`)[0];
const problem = (json: string) => (one(json) as { malformed: string }).malformed;

test('several calls in one response, text around them ignored', () => {
  assert.deepEqual(
    parse(
      'First.\n<tool_call>\n{"name": "cd", "arguments": {"folder": "a b"}}\n</tool_call>\n<tool_call>{"name":"ls"}</tool_call> done',
    ),
    [
      { name: 'cd', positional: [], keyword: { folder: 'a b' } },
      { name: 'ls', positional: [], keyword: {} },
    ],
  );
});

test('numbers that JavaScript would alter travel as text; those in strings are left alone', () => {
  assert.deepEqual(
    one(
      '{"name": "f", "arguments": {"a": 5.0, "b": 1e3, "c": 9007199254740993, "d": 2.5, "e": "say 5.0 \\"6.0\\"", "f": [-0, 7]}}',
    ),
    {
      name: 'f',
      positional: [],
      keyword: {
        a: { $number: '5.0' },
        b: { $number: '1e3' },
        c: { $number: '9007199254740993' },
        d: 2.5,
        e: 'say 5.0 "6.0"',
        f: [{ $number: '-0' }, 7],
      },
    },
  );
});

test('a piece that is no call says what is wrong', () => {
  assert.match(
    problem('{"name": f}'),
    /^tool call 1: f is no JSON value; quote a text \(character 10 after <tool_call>\), expected <tool_call>/,
  );
  assert.match(problem('[]'), /no JSON object/);
  assert.match(problem('{"arguments": {}}'), /"name" is missing/);
  assert.match(problem('{"name": "f", "arguments": 5.0}'), /"arguments" is no JSON object/);
  assert.match(problem('{"name": "f", "arguments": {"x": {"$number": "1"}}}'), /\$number is reserved/);
  assert.match(problem('{"name": "f", "arguments": {"__proto__": 1}}'), /__proto__ is reserved/);
  assert.match(
    problem(`{"name": "f", "arguments": {"x": ${'['.repeat(50)}${']'.repeat(50)}}}`),
    /nested more than 8 deep/,
  );
  assert.deepEqual(parse('no call'), []);
  assert.match((parse('<tool_call>{"name": "f"')[0] as { malformed: string }).malformed, /it is not closed/);
});

test('what is rendered reads back the same', () => {
  const calls: WellFormedCall[] = [
    { name: 'f', positional: [], keyword: { a: { $number: '5.0' }, b: ['x', null, true], c: { d: 1.5 } } },
  ];
  assert.equal(
    renderCalls(calls, 'hermes'),
    '<tool_call>\n{"name": "f", "arguments": {"a": 5.0, "b": ["x", null, true], "c": {"d": 1.5}}}\n</tool_call>',
  );
  assert.deepEqual(parse(renderCalls(calls, 'hermes')), calls);
});

test('a refusal says what is wrong and where', () => {
  for (const [json, told] of [
    ['{"name": "a", "arguments": {"x": 1,}}', "a comma stands before '}' (character 35 after <tool_call>)"],
    ['{"name": "a", "arguments": {"x": [1, ]}}', "a comma stands before ']' (character 36"],
    ["{'name': 'a'}", 'a key stands in double quotes in JSON, found "\'" (character 2'],
    [`{"name": 'a'}`, 'a text stands in double quotes in JSON (character 10'],
    ['{"name": "a", "arguments": {"x": True}}', 'True is written true in JSON (character 34'],
    ['{"name": "a", "arguments": {"x": None}}', 'None is written null in JSON (character 34'],
    ['{"name": "a", "arguments": {"x": NaN}}', 'NaN is no JSON value (character 34'],
    ['{"name": "a", "arguments": {"x": -Infinity}}', 'Infinity is no JSON value (character 34'],
    ['{"name": "a", "arguments": {"x": "b\nc"}}', 'a text holds a raw line break: write \\n (character 36'],
    ['{"name": "a", "arguments": {"x": "b\tc"}}', 'a text holds a raw control character: write \\t (character 36'],
    ['{"name": "a", "arguments": {"x": "\\d"}}', '\\d is no escape in JSON (character 35'],
    ['{"name": "a" "arguments": {}}', "',' or '}' is missing (character 14"],
    ['{"name" "a"}', "':' is missing after a key (character 9"],
    ['{"x": 01}', '01 is no JSON number (character 7'],
    ['{"x": +1}', '+1 is no JSON number (character 7'],
    ['{"x": .5}', '.5 is no JSON number (character 7'],
    ['{"x": 1 // one\n}', "',' or '}' is missing (character 9"],
    [
      '{"name": "a", "arguments": {}}\n{"name": "b", "arguments": {}}',
      'follows the JSON value, one object stands between the tags (character 32',
    ],
    ['[{"name": "a", "arguments": {}}]', 'it is no JSON object but a list'],
    ['```json\n{"name": "a"}\n```', 'a code fence stands where a value is expected (character 1'],
    ['{"name": "a", "arguments": "{}"}', '"arguments" is no JSON object'],
    ['{"name": "a", "parameters": {}}', 'there is a field "parameters"'],
    ['', '"<" stands where a value is expected (character 1'],
  ] as const) {
    assert.equal(parse(`<tool_call>${json}</tool_call>`).length, 1, json);
    assert.ok(problem(json).startsWith(`tool call 1: `) && problem(json).includes(told), `${json} -> ${problem(json)}`);
  }
});

test('nesting is limited to eight lists or objects in an argument, as in call lines', () => {
  const nested = (levels: number): string => `${'['.repeat(levels)}1${']'.repeat(levels)}`;
  assert.ok('name' in one(`{"name": "f", "arguments": {"x": ${nested(8)}}}`)!);
  assert.match(problem(`{"name": "f", "arguments": {"x": ${nested(9)}}}`), /nested more than 8 deep/);
  assert.ok('name' in parseCalls(`CALL f(${nested(8)})`, 'call-lines')[0]!);
  assert.match(
    (parseCalls(`CALL f(${nested(9)})`, 'call-lines')[0] as { malformed: string }).malformed,
    /nested more than 8 deep/,
  );
});

const called = (text: string): string[] => parse(text).map((call) => ('name' in call ? call.name : 'malformed'));

test('what is malformed does not hide what follows it, nor execute what it quotes', () => {
  const b = '<tool_call>{"name": "b", "arguments": {}}</tool_call>';
  assert.deepEqual(called(`<tool_call>{"name": "a", "arguments": {}}\n${b}`), ['malformed', 'b']);
  assert.deepEqual(called(`<tool_call>\n${b}`), ['malformed', 'b']);
  assert.deepEqual(called(`<tool_call>{name: a}</tool_call>\n${b}`), ['malformed', 'b']);
  assert.deepEqual(
    called(
      `<tool_call>{"name": "a", "arguments": {"x": "raw\nline, then ${b.replaceAll('"', '\\"')}"}}</tool_call>\n${b}`,
    ),
    ['malformed', 'b'],
  );
});
