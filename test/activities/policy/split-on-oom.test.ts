import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { tf } from '../../../activities/policy/backend.js';
import type { LossGradient, TokenSequence } from '../../../activities/policy/policy.js';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { readSafetensors } from '../../../activities/policy/weights/safetensors.js';
import { configOfModel, tiny, tinyAdapter, tinyModel, tinyWeights } from './tiny-models.js';

const name = 'qwen3-untied';
const weights = await tinyWeights(tinyModel(name), tinyAdapter(await configOfModel(tinyModel(name))));
const sequences: TokenSequence[] = [0, 1, 2, 3, 4].map((i) => ({
  prefixGroup: i < 3 ? 'a' : 'b',
  promptIds: tiny.prompt,
  responseIds: tiny.response.slice(i),
}));
/** Words of TensorFlow for a failed allocation. */
const exhausted = (): Error =>
  new Error(
    'Invalid TF_Status: 8\nMessage: OOM when allocating tensor with shape[4096,576] and type float on /device:GPU:0 by allocator GPU_0_bfc',
  );
const loss: LossGradient = (indices, rows) => rows.map((row, n) => row.map((_, l) => Math.sin(indices[n]! * 10 + l)));
const options = {
  temperature: 0.9,
  microBatchTokens: 4096,
  learningRate: 1e-3,
  betas: [0.9, 0.95],
  epsilon: 1e-3,
  weightDecay: 0,
  maxGradientNorm: null,
} as const;

async function stepped(gradient: LossGradient) {
  const policy = new TensorFlowPolicy();
  await policy.use(weights);
  await policy.useMoments(null, 0);
  const { logProbs } = await policy.step(sequences, gradient, options);
  const { tensors } = readSafetensors((await policy.trained()).moments);
  return { policy, logProbs, moments: [...tensors].flatMap(([, { values }]) => [...values]) };
}

// Sequences of a row that go apart no longer share their prefix, whose gradient is then summed in another order.
for (const [most, bar] of [
  [3, 1e-6],
  [1, 2e-6],
] as const) {
  test(`a gradient that memory suffices for only by ${most} sequences at once is that of all at once, within ${bar} of its largest element`, async () => {
    const whole = await stepped(loss);
    const sizes: number[] = [];
    const split = await stepped((indices, rows, measures) => {
      if (indices.length > most) throw exhausted();
      sizes.push(indices.length);
      return loss(indices, rows, measures);
    });
    assert.deepEqual(sizes, most === 3 ? [3, 2] : [1, 1, 1, 1, 1]);
    const largest = Math.max(...whole.moments.map(Math.abs));
    split.moments.forEach((value, i) => assert.ok(Math.abs(value - whole.moments[i]!) < bar * largest));
    split.logProbs.forEach((row, n) =>
      row.forEach((value, l) => assert.ok(Math.abs(value - whole.logProbs[n]![l]!) < 1e-5)),
    );
  });
}

test('the same splits give the same bytes, and what failed leaves no tensor', async () => {
  const failing: LossGradient = (indices, rows, measures) => {
    if (indices.length > 1) throw exhausted();
    return loss(indices, rows, measures);
  };
  const hash = ({ moments }: { moments: number[] }) =>
    createHash('sha256').update(Float32Array.from(moments)).digest('hex');
  const { policy, ...first } = await stepped(failing);
  assert.equal(hash(await stepped(failing)), hash(first));
  const before = tf.memory().numTensors;
  await policy.step(sequences, failing, options);
  assert.equal(tf.memory().numTensors, before);
});

test('one sequence that memory does not suffice for is told with its size and what to change', async () => {
  const policy = new TensorFlowPolicy();
  await policy.use(weights);
  await policy.useMoments(null, 0);
  const before = tf.memory().numTensors;
  await assert.rejects(
    policy.step(
      sequences,
      () => {
        throw exhausted();
      },
      options,
    ),
    /memory does not suffice for one sequence of 86 tokens \(prefix group a\): [^]*OOM when allocating[^]*Lower rollout\.maxPromptTokens/,
  );
  assert.equal(tf.memory().numTensors, before);
  await assert.rejects(
    policy.step(
      sequences,
      () => {
        throw new RangeError('another failure');
      },
      options,
    ),
    /another failure/,
  );
});

test('requests that memory does not suffice for together are sampled by halves: the same tokens', async () => {
  const policy = new TensorFlowPolicy();
  await policy.use(weights);
  const requests = [0, 1, 2, 3, 4].map((i) => ({
    prefixGroup: 'a',
    promptIds: tiny.prompt.slice(i),
    randomKey: `k/${i}`,
  }));
  const sampling = { temperature: 0.9, maxResponseTokens: 6 };
  const whole = await policy.sample(requests, sampling);
  const told: number[] = [];
  const before = tf.memory().numTensors;
  let failures = 0;
  const split = await policy.sample(
    requests,
    { ...sampling, session: 's', onSampled: (request) => told.push(request) },
    ({ phase, of }) => {
      if (phase === 'prefill' && of > 150) {
        failures += 1;
        throw exhausted();
      }
    },
  );
  assert.ok(failures > 0);
  assert.deepEqual(
    split.map(({ ids }) => ids),
    whole.map(({ ids }) => ids),
  );
  assert.deepEqual([...new Set(told)].sort(), [0, 1, 2, 3, 4]);
  assert.equal(tf.memory().numTensors, before);
});
