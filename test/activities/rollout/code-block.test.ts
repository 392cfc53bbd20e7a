import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCalls, renderCalls } from '../../../activities/rollout/tool-calls.js';

const parse = (response: string) => parseCalls(response, 'code-block');
const code = (text: string) => [{ name: 'python', positional: [text], keyword: {} }];

test('the first python block is the call; what stands around it is not', () => {
  assert.deepEqual(parse('Let me look.\n```python\nprint(1)\nprint(2)\n```\nThen:\n```python\nprint(3)\n```'), code('print(1)\nprint(2)'));
});

test('a block that is not closed counts, also with nothing after it', () => {
  assert.deepEqual(parse('```python\nprint(1)'), code('print(1)'));
  assert.deepEqual(parse('```python\nprint(1)\n'), code('print(1)'));
});

test('a response without a block has no call', () => assert.deepEqual(parse('I am done: `print(1)`.'), []));

test('a block of another language, or an empty one, is told what was expected', () => {
  assert.deepEqual(parse('```json\n{}\n```'), [{ malformed: 'the code block is of language "json", expected a block that begins with ```python and ends with ```' }]);
  assert.match(JSON.stringify(parse('```\nprint(1)\n```')), /of language \\"\\"/);
  assert.match(JSON.stringify(parse('```python\n\n```')), /the code block is empty/);
});

test('another language before the python block does not hide it', () => {
  assert.deepEqual(parse('```json\n{}\n```\n```python\nprint(1)\n```'), code('print(1)'));
});

test('code beyond the limit is refused, not cut', () => assert.match(JSON.stringify(parse(`\`\`\`python\n${'x'.repeat(70_000)}`)), /70000 characters, the limit is 65536/));

test('property: rendered code is read back', () => {
  const line = fc.string({ maxLength: 30 }).filter((text) => !/[\r\n`]/.test(text));
  fc.assert(fc.property(fc.array(line, { minLength: 1 }).map((lines) => lines.join('\n')), (text) => {
    if (text.trim() === '' || text.endsWith('\n')) return;
    assert.deepEqual(parse(renderCalls([{ name: 'python', positional: [text], keyword: {} }], 'code-block')), code(text));
  }));
});
