import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCalls, renderCalls, type WellFormedCall } from '../../../activities/rollout/tool-calls.js';

const parse = (text: string) => parseCalls(text, 'hermes');
const one = (json: string) => parse(`<tool_call>${json}</tool_call>`)[0];
const problem = (json: string) => (one(json) as { malformed: string }).malformed;

test('several calls in one response, text around them ignored', () => {
  assert.deepEqual(parse('First.\n<tool_call>\n{"name": "cd", "arguments": {"folder": "a b"}}\n</tool_call>\n<tool_call>{"name":"ls"}</tool_call> done'), [
    { name: 'cd', positional: [], keyword: { folder: 'a b' } },
    { name: 'ls', positional: [], keyword: {} },
  ]);
});

test('numbers that JavaScript would alter travel as text; those in strings are left alone', () => {
  assert.deepEqual(one('{"name": "f", "arguments": {"a": 5.0, "b": 1e3, "c": 9007199254740993, "d": 2.5, "e": "say 5.0 \\"6.0\\"", "f": [-0, 7]}}'), {
    name: 'f',
    positional: [],
    keyword: { a: { $number: '5.0' }, b: { $number: '1e3' }, c: { $number: '9007199254740993' }, d: 2.5, e: 'say 5.0 "6.0"', f: [{ $number: '-0' }, 7] },
  });
});

test('a piece that is no call says what is wrong', () => {
  assert.match(problem('{"name": f}'), /^tool call 1: it is no valid JSON, expected <tool_call>/);
  assert.match(problem('[]'), /no JSON object/);
  assert.match(problem('{"arguments": {}}'), /"name" is missing/);
  assert.match(problem('{"name": "f", "arguments": 5.0}'), /"arguments" is no JSON object/);
  assert.match(problem('{"name": "f", "arguments": {"x": {"$number": "1"}}}'), /\$number is reserved/);
  assert.match(problem('{"name": "f", "arguments": {"__proto__": 1}}'), /__proto__ is reserved/);
  assert.match(problem(`{"name": "f", "arguments": {"x": ${'['.repeat(50)}${']'.repeat(50)}}}`), /nested more than 8 deep/);
  assert.deepEqual(parse('no call'), []);
  assert.match((parse('<tool_call>{"name": "f"')[0] as { malformed: string }).malformed, /it is not closed/);
});

test('what is rendered reads back the same', () => {
  const calls: WellFormedCall[] = [{ name: 'f', positional: [], keyword: { a: { $number: '5.0' }, b: ['x', null, true], c: { d: 1.5 } } }];
  assert.equal(renderCalls(calls, 'hermes'), '<tool_call>\n{"name": "f", "arguments": {"a": 5.0, "b": ["x", null, true], "c": {"d": 1.5}}}\n</tool_call>');
  assert.deepEqual(parse(renderCalls(calls, 'hermes')), calls);
});
