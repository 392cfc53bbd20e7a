import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roomProblems } from '../../../activities/warm-start/room.js';
import { toyCodec } from '../../support/toy-codec.js';

// The toy codec has a token for each character and each tag: <user>, <assistant> and <end> are one each, as are the line ends.
const demonstration = (...answers: string[]) => ({
  taskId: 'a',
  firstTarget: 1,
  messages: [
    { role: 'user' as const, content: 'q' },
    ...answers.flatMap((content) => [
      { role: 'assistant' as const, content },
      { role: 'user' as const, content: 'go' },
    ]),
  ].slice(0, -1),
});
const PLENTY = { maxResponseTokens: 100, maxTokens: 1000 };

test('answers that fit are no news', () => {
  assert.deepEqual(roomProblems(toyCodec(), [demonstration('abc', 'de'), demonstration('f')], PLENTY), []);
  assert.deepEqual(roomProblems(toyCodec(), [], { maxResponseTokens: 1, maxTokens: 1 }), []);
});

test('demonstrations that a warm start would drop or cut are counted, with the tokens that would do', () => {
  // <user> q <end> \n <assistant> = 5; abc <end> = 4; \n <user> g o <end> \n <assistant> = 7; de <end> = 3
  const problems = roomProblems(
    toyCodec(),
    [demonstration('abc', 'de'), demonstration('f'), demonstration('abcdefgh')],
    { ...PLENTY, maxTokens: 9 },
  );
  assert.deepEqual(problems, [
    'warmStart.maxTokens is 9: of 3 demonstrations, 1 are dropped and 1 lose their last turns; the longest takes 19 tokens, 5 of them the first prompt at its longest',
  ]);
  assert.deepEqual(roomProblems(toyCodec(), [demonstration('abc', 'de')], { ...PLENTY, maxTokens: null }), []);
});

test('a right answer that is longer than a response may be is told, and one beyond the context', () => {
  assert.deepEqual(roomProblems(toyCodec(), [demonstration('abc', 'de')], { ...PLENTY, maxResponseTokens: 3 }), [
    'rollout.maxResponseTokens is 3: the longest right answer takes 4 tokens, and cannot be said in so few',
  ]);
  assert.match(
    roomProblems(toyCodec(18), [demonstration('abc', 'de')], PLENTY)[0]!,
    /context is 18 tokens: the longest demonstration takes 19/,
  );
});
