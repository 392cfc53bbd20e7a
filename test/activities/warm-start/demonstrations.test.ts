import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { loadTextCodec } from '../../../activities/policy/text-codec.js';
import type { TextCodec, TokenSequence } from '../../../activities/policy/policy.js';
import { demonstratedTurns, imitationGradient, rateAt } from '../../../activities/warm-start/demonstrations.js';
import { modelFile } from '../policy/smollm2.js';

let codec: TextCodec;
before(async () => {
  codec = await loadTextCodec(modelFile);
});

const demonstration = {
  taskId: '7',
  firstTarget: 4,
  messages: [
    { role: 'system' as const, content: 'Tools: cd(folder)' },
    { role: 'user' as const, content: "Open 'a'." },
    { role: 'assistant' as const, content: "CALL cd('a')" },
    { role: 'user' as const, content: "Open 'b'." },
    { role: 'assistant' as const, content: "CALL cd('b')" },
    { role: 'user' as const, content: 'Result: ok\nNow up.' },
    { role: 'assistant' as const, content: "CALL cd('..')" },
  ],
};

test('targets are the assistant messages from firstTarget on; examples before it are context', () => {
  const turns = demonstratedTurns(codec, demonstration, 450);
  assert.deepEqual(
    turns.map(({ responseIds }) => codec.decode(responseIds)),
    ["CALL cd('b')<|im_end|>", "CALL cd('..')<|im_end|>"],
  );
});

test('each prompt is the conversation as a rollout would have shown it', () => {
  const turns = demonstratedTurns(codec, demonstration, 450);
  turns.forEach(({ promptIds }, i) => {
    const until = i === 0 ? 4 : 6;
    assert.equal(
      codec.decode(promptIds),
      codec.render(demonstration.messages.slice(0, until), { generationPrompt: true }),
    );
  });
});

test('where the prompt begins thinking, an answer ends it first: what was only thought is no call', () => {
  const thinking: TextCodec = {
    ...codec,
    render: (...given) => `${codec.render(...given)}${given[1].generationPrompt ? '<think>\n' : ''}`,
  };
  const turns = demonstratedTurns(thinking, demonstration, 450);
  assert.deepEqual(
    turns.map(({ responseIds }) => codec.decode(responseIds)),
    ["\n</think>\n\nCALL cd('b')<|im_end|>", "\n</think>\n\nCALL cd('..')<|im_end|>"],
  );
});

test('a conversation is cut before the turn that would pass maxTokens', () => {
  const [first, second] = demonstratedTurns(codec, demonstration, 450) as [TokenSequence, TokenSequence];
  const length = (turn: TokenSequence): number => turn.promptIds.length + turn.responseIds.length;
  assert.equal(demonstratedTurns(codec, demonstration, length(second)).length, 2);
  assert.equal(demonstratedTurns(codec, demonstration, length(second) - 1).length, 1);
  assert.equal(demonstratedTurns(codec, demonstration, length(first) - 1).length, 0);
});

test('the learning rate climbs over the warm-up and falls linearly to finalRate at the last step', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((step) => rateAt(step, 5, 2, 0.1)),
    [0.5, 1, 1, 0.55, 0.1].map((x) => (x === 0.55 ? 1 - 0.9 * 0.5 : x === 0.1 ? 1 - 0.9 : x)),
  );
});

test('every turn weighs the same however long', () => {
  assert.deepEqual(
    imitationGradient(
      [
        [-1, -1],
        [-1, -1, -1, -1],
      ],
      2,
    ),
    [
      [-1 / 4, -1 / 4],
      [-1 / 8, -1 / 8, -1 / 8, -1 / 8],
    ],
  );
});
