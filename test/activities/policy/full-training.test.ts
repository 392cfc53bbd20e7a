import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { applyAdamW } from '../../../activities/policy/adamw.js';
import { tf, type Tensor } from '../../../activities/policy/backend.js';
import { weightLayout } from '../../../activities/policy/full-weights.js';
import type { PolicyWeights, StoredParts, TrainedGroup } from '../../../activities/policy/policy.js';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { writeMergedModel } from '../../../activities/policy/weights/merged-model.js';
import { readSafetensors } from '../../../activities/policy/weights/safetensors.js';
import { configOfModel, tiny, tinyFolder, tinyModel, tinyWeights } from './tiny-models.js';

/** Oracle: PyTorch in fp64 on the same weights (fixtures/make_full_gradients.py). */
const oracle = JSON.parse(readFileSync(path.join(tinyFolder, 'full.json'), 'utf8')) as {
  responses: number[][];
  models: Record<
    string,
    { loss: number; gradientNorm: number; norms: Record<string, number>; lossAfterOneStep: number }
  >;
};
const policy = new TensorFlowPolicy();
const { temperature } = tiny;
const scoring = { temperature, microBatchTokens: 1024 };
/** A step whose first moments are the gradient itself, and whose weights stay where they were to 1e-9. */
const still = { learningRate: 1e-9, betas: [0, 0] as const, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: null };
const adamW = { learningRate: 1e-3, betas: [0.9, 0.95] as const, epsilon: 1e-8, weightDecay: 0.01, maxGradientNorm: 1 };

const sequences = oracle.responses.map((responseIds) => ({ prefixGroup: 'a', promptIds: tiny.prompt, responseIds }));
const meanLoss = (_: readonly number[], rows: readonly (readonly number[])[]) =>
  rows.map((row) => row.map(() => -1 / (row.length * sequences.length)));
const lossOf = (rows: readonly (readonly number[])[]): number =>
  -rows.reduce((sum, row) => sum + row.reduce((a, b) => a + b, 0) / row.length, 0) / rows.length;
const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

const fullWeights = async (
  name: string,
  weights: StoredParts | null = null,
  reference = true,
): Promise<PolicyWeights> => ({ ...(await tinyWeights(tinyModel(name))), full: { weights, reference } });
async function trainedGroups(): Promise<TrainedGroup[]> {
  const groups = [await policy.trainedGroup(0)];
  while (groups.length < groups[0]!.groups) groups.push(await policy.trainedGroup(groups.length));
  return groups;
}
const gradients = async (): Promise<Map<string, Float32Array>> =>
  new Map(
    (await trainedGroups()).flatMap(({ moments }) =>
      [...readSafetensors(moments).tensors]
        .filter(([key]) => key.startsWith('first.'))
        .map(([key, { values }]) => [key.slice('first.'.length), values]),
    ),
  );
const stored = (blobs: readonly Uint8Array[]): StoredParts => ({
  parts: async () =>
    blobs.map((bytes) => ({ sha256: createHash('sha256').update(bytes).digest('hex'), read: async () => bytes })),
});

for (const [name, expected] of Object.entries(oracle.models)) {
  test(`${name}: the gradient norm of every parameter and the loss after one AdamW step are those of PyTorch within 1e-4`, async () => {
    await policy.use(await fullWeights(name));
    await policy.useMoments(null, 0);
    const { gradientNorm, logProbs } = await policy.step(sequences, meanLoss, { ...scoring, ...still });
    assert.ok(Math.abs(lossOf(logProbs) / expected.loss - 1) < 1e-4);
    assert.ok(
      Math.abs(gradientNorm / expected.gradientNorm - 1) < 1e-4,
      `norm of all ${gradientNorm}, PyTorch ${expected.gradientNorm}`,
    );
    const ours = await gradients();
    assert.deepEqual([...ours.keys()].sort(), Object.keys(expected.norms).sort());
    for (const [tensor, values] of ours) {
      const theirs = expected.norms[tensor]!;
      // A key's bias moves all scores of a query alike, so that without a rotation its gradient would be 0.
      assert.ok(Math.abs(norm(values) - theirs) <= 1e-4 * theirs, `${tensor}: ${norm(values)}, PyTorch ${theirs}`);
    }

    await policy.use(await fullWeights(name));
    await policy.useMoments(null, 0);
    await policy.step(sequences, meanLoss, { ...scoring, ...adamW });
    const after = lossOf(await policy.logProbs(sequences, { ...scoring, weights: 'current' }));
    assert.ok(
      Math.abs(after / expected.lossAfterOneStep - 1) < 1e-4,
      `loss after a step ${after}, PyTorch ${expected.lossAfterOneStep}`,
    );
    const reference = lossOf(await policy.logProbs(sequences, { ...scoring, weights: 'reference' }));
    assert.ok(Math.abs(reference / expected.loss - 1) < 1e-4, 'the reference stays where it was');
  });
}

test('micro-batches do not change the gradient: relative 1e-6 of its norm', async () => {
  const rows = sequences.map((sequence, i) => ({ ...sequence, prefixGroup: String(i) }));
  const of = async (microBatchTokens: number): Promise<Map<string, Float32Array>> => {
    await policy.use(await fullWeights('qwen3-untied'));
    await policy.useMoments(null, 0);
    await policy.step(rows, meanLoss, { temperature, microBatchTokens, ...still });
    return gradients();
  };
  const [together, apart] = [await of(1024), await of(1)];
  for (const [name, values] of together) {
    const difference = norm(values.map((value, i) => value - apart.get(name)![i]!));
    assert.ok(difference <= 1e-6 * norm(values), `${name}: ${difference} of ${norm(values)}`);
  }
});

test('the state goes out group by group and comes back: the next step is the same, byte for byte, also in a policy that never saw the first', async () => {
  const step = (p: TensorFlowPolicy) => p.step(sequences, meanLoss, { ...scoring, ...adamW });
  await policy.use(await fullWeights('qwen2-untied'));
  await policy.useMoments(null, 0);
  await step(policy);
  const first = await trainedGroups();
  assert.equal(first.length, 2 + 2); // embedding, two layers, norm with head
  await step(policy);
  const straight = await trainedGroups();

  const other = new TensorFlowPolicy();
  await other.use(await fullWeights('qwen2-untied', stored(first.map(({ weights }) => weights)), false));
  await other.useMoments(stored(first.map(({ moments }) => moments)), 1);
  await step(other);
  for (const group of [0, 1, 2, 3]) {
    const { weights, moments } = await other.trainedGroup(group);
    assert.ok(
      Buffer.from(weights).equals(straight[group]!.weights) && Buffer.from(moments).equals(straight[group]!.moments),
      `group ${group}`,
    );
  }
});

test('what was just stored is recognised and not read again; the model file comes back after other weights', async () => {
  await policy.use(await fullWeights('llama-tied', null, false));
  await policy.useMoments(null, 0);
  const [untouched] = await policy.logProbs(sequences, { ...scoring, weights: 'current' });
  await policy.step(sequences, meanLoss, { ...scoring, ...adamW });
  const groups = await trainedGroups();
  const unread: StoredParts = {
    parts: async () =>
      (await stored(groups.map(({ weights }) => weights)).parts()).map(({ sha256 }) => ({
        sha256,
        read: () => Promise.reject(new Error('read again')),
      })),
  };
  await policy.use(await fullWeights('llama-tied', unread, false));
  await assert.rejects(
    policy.logProbs(sequences, { ...scoring, weights: 'reference' }),
    /keeps no frozen reference: set algorithm\.klCoefficient above 0/,
  );
  await policy.use(await fullWeights('llama-tied', null, false));
  assert.deepEqual((await policy.logProbs(sequences, { ...scoring, weights: 'current' }))[0], untouched);
});

test('sampling is from theta after the step: its log-probs are those of the same theta', async () => {
  await policy.use(await fullWeights('qwen3-tied'));
  await policy.useMoments(null, 0);
  await policy.step(sequences, meanLoss, { ...scoring, ...adamW, learningRate: 0.02 });
  const responses = await policy.sample(
    [0, 1].map((i) => ({ prefixGroup: 'a', promptIds: tiny.prompt.slice(i), randomKey: `k/${i}` })),
    { temperature, maxResponseTokens: 8 },
  );
  const again = await policy.logProbs(
    responses.map(({ ids }, i) => ({ prefixGroup: 'a', promptIds: tiny.prompt.slice(i), responseIds: ids })),
    { ...scoring, weights: 'current' },
  );
  responses.forEach(({ logProbs }, i) =>
    logProbs.forEach((value, l) => assert.ok(Math.abs(value - again[i]![l]!) < 1e-4)),
  );
});

test('steps, scores, samples and stored states leave the tensor count where it was, with a reference and without', async () => {
  for (const reference of [true, false]) {
    await policy.use(await fullWeights('qwen3-tied', null, reference));
    await policy.useMoments(null, 0);
    const round = async (): Promise<number> => {
      await policy.step(sequences, meanLoss, { ...scoring, ...adamW });
      await policy.sample([{ prefixGroup: 'a', promptIds: tiny.prompt, randomKey: 'k' }], {
        temperature,
        maxResponseTokens: 4,
      });
      await policy.logProbs(sequences, { ...scoring, weights: 'current' });
      await trainedGroups();
      await policy.step(sequences, meanLoss, { ...scoring, ...adamW });
      return (await policy.device()).tensors;
    };
    const tensors = await round();
    for (let i = 0; i < 3; i++) assert.equal(await round(), tensors);
  }
});

test('a failing loss leaves nothing behind and theta where it was', async () => {
  await policy.use(await fullWeights('llama-untied'));
  await policy.useMoments(null, 0);
  const before = await policy.logProbs(sequences, { ...scoring, weights: 'current' });
  const { tensors } = await policy.device();
  await assert.rejects(
    policy.step(sequences, () => Promise.reject(new Error('no number')), { ...scoring, ...adamW }),
    /no number/,
  );
  assert.equal((await policy.device()).tensors, tensors);
  assert.deepEqual(await policy.logProbs(sequences, { ...scoring, weights: 'current' }), before);
});

test('theta written out as a model directory is theta: log-probs to the last bit', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-full-'));
  try {
    await policy.use(await fullWeights('qwen2-tied'));
    await policy.useMoments(null, 0);
    await policy.step(sequences, meanLoss, { ...scoring, ...adamW, learningRate: 0.02 });
    const theta = await policy.logProbs(sequences, { ...scoring, weights: 'current' });
    const trained = new Map((await trainedGroups()).flatMap(({ weights }) => [...readSafetensors(weights).tensors]));
    await writeMergedModel(tinyModel('qwen2-tied'), { weights: async (name) => trained.get(name)!.values }, folder);
    await policy.use(await tinyWeights(folder));
    assert.deepEqual(await policy.logProbs(sequences, { ...scoring, weights: 'reference' }), theta);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('AdamW in pieces is AdamW: parameters beyond the first 2^24 are stepped as those before', () => {
  tf.tidy(() => {
    const size = 2 ** 24 + 3;
    const ends = (x: Tensor): number[] => [
      ...(x.slice([0], [2]).dataSync() as Float32Array),
      ...(x.slice([size - 2], [2]).dataSync() as Float32Array),
    ];
    const { parameters, moments, gradientNorm } = applyAdamW(
      tf.ones([size]),
      tf.fill([size], 0.5),
      { first: tf.zeros([size]), second: tf.zeros([size]) },
      1,
      { ...adamW, maxGradientNorm: null },
    );
    // The first step is the rate times the sign, after the decay: 1 (1 - 1e-3 0.01) - 1e-3
    ends(parameters).forEach((value) => assert.ok(Math.abs(value - (1 - 1e-5 - 1e-3)) < 1e-6));
    ends(moments.first).forEach((value) => assert.ok(Math.abs(value - 0.05) < 1e-7)); // (1 - 0.9) 0.5
    ends(moments.second).forEach((value) => assert.ok(Math.abs(value - 0.0125) < 1e-7)); // (1 - 0.95) 0.25
    assert.ok(Math.abs(gradientNorm / (0.5 * Math.sqrt(size)) - 1) < 1e-5);
    tf.dispose([parameters, moments.first, moments.second]);
  });
});

test('groups are the embedding, each layer, and the final norm with the head, end to end', async () => {
  for (const name of ['qwen3-tied', 'llama-untied']) {
    const { groups, tensors, parameters } = weightLayout(await configOfModel(tinyModel(name)));
    assert.deepEqual(
      groups.map(({ tensors: [first] }) => first!.name),
      [
        'model.embed_tokens.weight',
        'model.layers.0.input_layernorm.weight',
        'model.layers.1.input_layernorm.weight',
        'model.norm.weight',
      ],
    );
    assert.deepEqual(
      groups.at(-1)!.tensors.map(({ name: tensor }) => tensor),
      name === 'qwen3-tied' ? ['model.norm.weight'] : ['model.norm.weight', 'lm_head.weight'],
    );
    let end = 0;
    for (const { shape, offset } of tensors) {
      assert.equal(offset, end);
      end += shape.reduce((a, b) => a * b, 1);
    }
    assert.equal(end, parameters);
  }
});

for (const name of ['llama-tied', 'qwen3-untied']) {
  test(`${name}: entropies and a value head move every weight along the gradient of their sum, by central differences`, async () => {
    const { hidden } = await configOfModel(tinyModel(name));
    const valueHead = Array.from({ length: hidden + 1 }, (_, i) => 0.1 * Math.sin(0.3 * i));
    /** L = 0.3 sum H + 0.7 sum V, and its gradient's norm, at theta moved by -h times the gradient. */
    const at = async (h: number): Promise<{ loss: number; gradientNorm: number }> => {
      await policy.use(await fullWeights(name));
      await policy.useMoments(null, 0);
      let loss = 0;
      const run = async (options: object) => {
        loss = 0;
        return policy.step(
          sequences,
          (_, rows, { entropies, values }) => {
            loss += 0.3 * entropies.flat().reduce((a, b) => a + b, 0) + 0.7 * values!.flat().reduce((a, b) => a + b, 0);
            const all = (value: number): number[][] => rows.map((row) => row.map(() => value));
            return { logProbs: all(0), entropies: all(0.3), values: all(0.7) };
          },
          { ...scoring, ...still, ...options, valueHead },
        );
      };
      // AdamW without memory and with an epsilon far above every gradient is gradient descent.
      const { gradientNorm } = await run({ epsilon: 1e6, learningRate: h * 1e6 });
      await run({});
      return { loss, gradientNorm };
    };
    const h = 2e-5;
    const [forth, back] = [await at(h), await at(-h)];
    const expected = -2 * h * forth.gradientNorm ** 2;
    assert.ok(
      Math.abs((forth.loss - back.loss) / expected - 1) < 0.01,
      `the loss moves by ${forth.loss - back.loss}, expected ${expected}`,
    );
  });
}
