import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root } from '../../support/root.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';

const parse = (response: string) => parseCalls(response, 'code-block');
const code = (text: string) => [{ name: 'python', positional: [text], keyword: {} }];

test('the first python block is the call; what stands around it is not', () => {
  assert.deepEqual(
    parse('Let me look.\n```python\nprint(1)\nprint(2)\n```\nThen:\n```python\nprint(3)\n```'),
    code('print(1)\nprint(2)'),
  );
});

test('a block that is not closed counts, also with nothing after it', () => {
  assert.deepEqual(parse('```python\nprint(1)'), code('print(1)'));
  assert.deepEqual(parse('```python\nprint(1)\n'), code('print(1)'));
});

test('a response without a block has no call', () => assert.deepEqual(parse('I am done: `print(1)`.'), []));

test('a block of another language, or an empty one, is told what was expected', () => {
  assert.deepEqual(parse('```json\n{}\n```'), [
    {
      malformed: 'the code block is of language "json", expected a block that begins with ```python and ends with ```',
    },
  ]);
  assert.match(JSON.stringify(parse('```\nprint(1)\n```')), /of language \\"\\"/);
  assert.match(JSON.stringify(parse('```python\n\n```')), /the code block is empty/);
});

test('another language before the python block does not hide it', () => {
  assert.deepEqual(parse('```json\n{}\n```\n```python\nprint(1)\n```'), code('print(1)'));
});

test('code beyond the limit is refused, not cut', () =>
  assert.match(JSON.stringify(parse(`\`\`\`python\n${'x'.repeat(70_000)}`)), /70000 characters, the limit is 65536/));

test('fences are read by the rules of CommonMark', () => {
  for (const [response, read] of [
    ["````python\nx = '```'\nprint(x)\n````", "x = '```'\nprint(x)"],
    ['````python\n```\n`````\n```python\nother()\n```', '```'],
    ['```python3\nprint(1)\n```', 'print(1)'],
    ['```python3.11\nprint(1)\n```', 'print(1)'],
    ['``` python\nprint(1)\n```', 'print(1)'],
    ['```python title="a.py"\nprint(1)\n```', 'print(1)'],
    ['~~~python\nx = "```"\n```\n~~~', 'x = "```"\n```'],
    ['~~~~ py\nprint(1)\n~~~\n~~~~', 'print(1)\n~~~'],
    ['1. do\n   ```python\n   if x:\n       print(1)\n   ```', 'if x:\n    print(1)'],
    ['  ```python\n if x:\n      y()\n  ```', 'if x:\n    y()'],
    ['```python\nprint("```")\n``` not closed\n```', 'print("```")\n``` not closed'],
    ['```python\ndef f():\n    """\n    ```\n    """\n   ```', 'def f():\n    """\n    ```\n    """'],
    ['```python\r\nprint(1)\r\n```', 'print(1)'],
    ['```python\rprint(1)\r```', 'print(1)'],
    ['```json\n{"a": "<think>"}\n```\n```python\nprint(1)\n```', 'print(1)'],
    ['```python\nprint("</think>")\n```', 'print("</think>")'],
    ['```python\nprint("<think>")\n```', 'print("<think>")'],
    ['<think>a</think>\n```python\nprint("a </think> b")\n```', 'print("a </think> b")'],
  ] as const) {
    assert.deepEqual(parse(response), code(read), JSON.stringify(response));
  }
});

test('a fence that begins no block is told, with its line; tags and inline code are none', () => {
  for (const [response, told] of [
    ['I run ```python print(1)```', 'line 1: "```python print(1)``" begins no code block'],
    ['So:\n> ```python\n> print(1)\n> ```', 'line 2: "```python" begins no code block'],
    ['Run: ```python\nprint(1)\n```', 'the code block is of language ""'],
    ['```pycon\n>>> 1\n```', 'the code block is of language "pycon"'],
    ['```\nprint(1)\n```', 'the code block is of language ""'],
  ] as const) {
    const [call, ...more] = parse(response);
    assert.ok(
      call && 'malformed' in call && call.malformed.startsWith(told) && more.length === 0,
      `${response} -> ${JSON.stringify(call)}`,
    );
  }
  for (const response of [
    '<code>print(1)</code>',
    'Use `print(1)` or ``x``.',
    'Well ~~~ no.',
    '<think>\n```python\nx()\n```',
  ])
    assert.deepEqual(parse(response), [], response);
});

/** Oracle: markdown-it-py (fixtures/make_fences.py). */
const fixture = JSON.parse(readFileSync(path.join(root, 'test/activities/rollout/fixtures/fences.json'), 'utf8')) as {
  readonly text: string;
  readonly fences: readonly [info: string, content: string][];
}[];

test('the program is the content of the first python fence by CommonMark', () => {
  let programs = 0;
  for (const { text, fences } of fixture) {
    const expected = fences.find(([info]) => /^py(thon)?3?(\s|$)/.test(info))?.[1];
    const [call] = parse(text);
    if (expected === undefined || expected.trim() === '') {
      assert.ok(call === undefined || 'malformed' in call, text);
    } else {
      assert.ok(call && 'name' in call, JSON.stringify(text));
      const code = String(call.positional[0]).replaceAll(/\r\n?/g, '\n');
      assert.equal(code, expected.replace(/\n$/, ''), JSON.stringify(text));
      programs++;
    }
  }
  assert.ok(programs > 200, `${programs} programs`);
});
