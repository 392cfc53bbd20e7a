import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { LossGradient, Policy, TokenSequence } from '../../../activities/policy/policy.js';
import { dealPrefixGroups, dealSequences, replicatedPolicy } from '../../../activities/policy/replicated-policy.js';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { configOfModel, tiny, tinyAdapter, tinyModel, tinyWeights } from './tiny-models.js';

const name = 'llama-untied';
const weights = await tinyWeights(tinyModel(name), tinyAdapter(await configOfModel(tinyModel(name))));
/** A large epsilon: Adam would make steps of gradients that are nothing but rounding. */
const adamW = { learningRate: 1e-2, betas: [0.9, 0.95], epsilon: 1e-3, weightDecay: 0.01, maxGradientNorm: 1 } as const;
const scoring = { temperature: 0.9, microBatchTokens: 64 };
/** Five rows of unlike size; row b has two sequences with a common prefix. */
const sequences: TokenSequence[] = ['a', 'b', 'c', 'b', 'd', 'e'].map((row, i) => ({
  prefixGroup: row,
  promptIds: tiny.prompt.slice(0, row === 'b' ? 6 : 3 + i),
  responseIds: tiny.response.slice(0, 2 + (i % 3)),
}));
const loss = (indices: readonly number[], rows: readonly (readonly number[])[]): number[][] =>
  rows.map((row, n) => row.map((logProb) => (indices[n]! + 1) * 0.1 * logProb));
const two = (): Policy => replicatedPolicy([new TensorFlowPolicy(), new TensorFlowPolicy()]);

async function round(policy: Policy) {
  await policy.use(weights);
  await policy.useMoments(null, 0);
  const drawn = await policy.sample(
    sequences.map(({ prefixGroup, promptIds }, i) => ({ prefixGroup, promptIds, randomKey: `k/${i}` })),
    { temperature: 0.9, maxResponseTokens: 6 },
  );
  const before = await policy.logProbs(sequences, { ...scoring, weights: 'current' });
  const steps = [
    await policy.step(sequences, loss, { ...scoring, ...adamW }),
    await policy.step(
      sequences.slice(1, 3),
      (indices, rows) =>
        loss(
          indices.map((i) => i + 1),
          rows,
        ),
      { ...scoring, ...adamW },
    ),
  ];
  const after = await policy.logProbs(sequences, { ...scoring, weights: 'current' });
  const trained = await policy.trained();
  return {
    drawn,
    before,
    steps,
    after,
    hash: createHash('sha256').update(trained.adapter).update(trained.moments).digest('hex'),
  };
}
const near = (ours: readonly (readonly number[])[], theirs: readonly (readonly number[])[], tolerance: number): void =>
  theirs.forEach((row, i) =>
    row.forEach((value, l) =>
      assert.ok(
        Math.abs(value - ours[i]![l]!) < tolerance,
        `sequence ${i}, token ${l}: ${ours[i]![l]}, alone ${value}`,
      ),
    ),
  );

test('two replicas sample the tokens, take the log-probs and make the steps of one policy', async () => {
  const alone = await round(new TensorFlowPolicy());
  const shared = await round(two());
  assert.deepEqual(
    shared.drawn.map(({ ids }) => ids),
    alone.drawn.map(({ ids }) => ids),
  );
  near(shared.before, alone.before, 1e-5);
  alone.steps.forEach((step, s) => {
    near(shared.steps[s]!.logProbs, step.logProbs, 1e-4);
    assert.ok(Math.abs(shared.steps[s]!.gradientNorm / step.gradientNorm - 1) < 1e-4);
  });
  near(shared.after, alone.after, 1e-4);
  assert.ok(
    Math.max(...alone.after.flat().map((value, i) => Math.abs(value - alone.before.flat()[i]!))) > 1e-3,
    'the steps move too little to show anything',
  );
});

test('two replicas give the same bytes every time, and recognise the state that they handed out', async () => {
  const policy = two();
  const first = await round(policy);
  assert.equal((await round(policy)).hash, first.hash);
  assert.equal((await round(two())).hash, first.hash);
  const { adapter } = await policy.trained();
  const stored = {
    sha256: createHash('sha256').update(adapter).digest('hex'),
    read: () => Promise.reject(new Error('read again, though it is held')),
  };
  await policy.use({ ...weights, adapter: stored });
});

test('a failure of one replica is told once no other is at work, and leaves theta where it was', async () => {
  const policy = two();
  const before = await round(policy);
  await policy.use(weights);
  const failing: LossGradient = (indices, rows) => {
    if (indices.includes(0)) throw new RangeError('no number');
    return loss(indices, rows);
  };
  await assert.rejects(policy.step(sequences, failing, { ...scoring, ...adamW }), {
    name: 'RangeError',
    message: 'no number',
  });
  assert.equal((await round(policy)).hash, before.hash);
});

test('rows are dealt whole, the largest first: sizes 5 3 3 2 1 over two shares are 5 + 2 and 3 + 3 + 1', () => {
  const items = ['a', 'b', 'c', 'd', 'e'].flatMap((row, r) =>
    Array.from({ length: [3, 1, 5, 3, 2][r]! }, () => ({ prefixGroup: row })),
  );
  const shares = dealPrefixGroups(items, 2, (row) => row.length);
  assert.deepEqual(
    shares.map((share) => [...new Set(share.map((i) => items[i]!.prefixGroup))]),
    [
      ['c', 'e'],
      ['a', 'b', 'd'],
    ],
  );
  assert.deepEqual(
    shares.flat().sort((a, b) => a - b),
    [...items.keys()],
  );
});

test('rows keep their seats, whatever their size', () => {
  const items = ['a', 'b', 'c'].flatMap((row, r) =>
    Array.from({ length: [5, 1, 2][r]! }, () => ({ prefixGroup: row })),
  );
  const shares = dealPrefixGroups(
    items,
    2,
    (row) => row.length,
    new Map([
      ['a', 1],
      ['b', 1],
    ]),
  );
  assert.deepEqual(
    shares.map((share) => [...new Set(share.map((i) => items[i]!.prefixGroup))]),
    [['c'], ['a', 'b']],
  );
});

test('of the largest share part of a row goes over where that levels them, and nowhere else', () => {
  const sequence = (row: string, first: number, own: number): TokenSequence => ({
    prefixGroup: row,
    promptIds: [1, 2, 3, 4],
    responseIds: Array.from({ length: own + 1 }, (_, l) => first + l),
  });
  // Each row: a prompt of 4 nodes and three branches of 10. Whole rows would be 34 + 34 and 34.
  const three = ['a', 'b', 'c'].flatMap((row, r) => [0, 1, 2].map((g) => sequence(row, 100 * (3 * r + g + 1), 10)));
  const shares = dealSequences(three, 2);
  assert.deepEqual(
    shares.flat().sort((x, y) => x - y),
    three.map((_, i) => i),
  );
  // One branch goes over: 34 + 24 against 34 + 14 nodes, where whole rows are 68 against 34.
  assert.deepEqual(shares.map((share) => share.length).sort(), [4, 5]);
  const two = ['a', 'b'].flatMap((row, r) => [0, 1].map((g) => sequence(row, 100 * (2 * r + g + 1), 10)));
  assert.deepEqual(dealSequences(two, 2), [
    [0, 1],
    [2, 3],
  ]);
  // One row alone whose prompt is nearly all of it stays whole; one that is nearly all branches does not.
  const alone = (prompt: number, own: number) =>
    [1, 2].map((g) => ({ ...sequence('a', 100 * g, own), promptIds: Array.from({ length: prompt }, (_, i) => i) }));
  assert.deepEqual(dealSequences(alone(50, 1), 2), [[0, 1], []]);
  assert.deepEqual(dealSequences(alone(4, 40), 2), [[0], [1]]);
});
