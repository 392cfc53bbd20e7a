import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { LossGradient, TokenSequence } from '../../../activities/policy/policy.js';
import { startPolicy } from '../../../activities/policy/policy-thread.js';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { readSafetensors } from '../../../activities/policy/weights/safetensors.js';
import { tiny, tinyModel, tinyWeights } from './tiny-models.js';

const scoring = { temperature: 1, microBatchTokens: 1024 };
const adamW = { learningRate: 0.01, betas: [0.9, 0.95] as const, epsilon: 1e-8, weightDecay: 0.1, maxGradientNorm: 1 };
const sequences: TokenSequence[] = ['a', 'a', 'b'].map((row, n) => ({
  prefixGroup: row,
  promptIds: tiny.prompt,
  responseIds: tiny.response.map((id) => (id + n) % 128),
}));
const loss: LossGradient = (_, logProbs) =>
  logProbs.map((row) => row.map((logProb, l) => -1 / (1 + l) + 0.1 * logProb));
const stored = (bytes: Uint8Array) => ({
  sha256: createHash('sha256').update(bytes).digest('hex'),
  read: async () => bytes,
});

async function fresh(): Promise<TensorFlowPolicy> {
  const policy = new TensorFlowPolicy();
  await policy.use(await tinyWeights(tinyModel('llama-tied')));
  await policy.useMoments(null, 0);
  return policy;
}

test('a step along the gradient that another worker computed is the step taken at once, byte for byte', async () => {
  const [one, other, stepping] = [await fresh(), await fresh(), await fresh()];
  const { gradientNorm } = await one.step(sequences, loss, { ...scoring, ...adamW });
  const gradient = stored((await other.gradient(sequences, loss, scoring)).gradient);
  assert.deepEqual(await stepping.applyGradient([gradient], adamW), { gradientNorm });
  assert.ok(gradientNorm > 0);
  assert.deepEqual(await stepping.trained(), await one.trained());
});

test('gradients of two shares add up to the whole gradient, and each leaves theta where it was', async () => {
  const policy = await fresh();
  const before = await policy.trained();
  const values = async (members: readonly TokenSequence[]) =>
    [...readSafetensors((await policy.gradient(members, loss, scoring)).gradient).tensors.values()].flatMap(
      (tensor) => [...tensor.values],
    );
  const all = await values(sequences);
  const [first, second] = [await values(sequences.slice(0, 2)), await values(sequences.slice(2))];
  const largest = Math.max(...all.map(Math.abs));
  all.forEach((value, i) => assert.ok(Math.abs(first[i]! + second[i]! - value) < 1e-5 * largest, `parameter ${i}`));
  assert.deepEqual(await policy.trained(), before);
});

test("a gradient comes out of the policy's thread as the bytes that it has inside, and a step along it too", async () => {
  const [inside, thread] = [await fresh(), await startPolicy('fp32', 1)];
  try {
    await thread.use(await tinyWeights(tinyModel('llama-tied')));
    await thread.useMoments(null, 0);
    const gradient = stored((await thread.gradient(sequences, loss, scoring)).gradient);
    assert.equal(gradient.sha256, stored((await inside.gradient(sequences, loss, scoring)).gradient).sha256);
    await thread.applyGradient([gradient], adamW);
    await inside.applyGradient([gradient], adamW);
    assert.equal(stored((await thread.trained()).adapter).sha256, stored((await inside.trained()).adapter).sha256);
  } finally {
    await thread.close();
  }
});
