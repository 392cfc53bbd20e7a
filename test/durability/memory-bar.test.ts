import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { uniform } from '../../activities/numerics/random.js';
import { TensorFlowPolicy } from '../../activities/policy/tf-policy.js';
import { tiny, tinyModel, tinyWeights } from '../activities/policy/tiny-models.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const ROUNDS = 1000;
const SETTLED = 300;

test(`${ROUNDS} updates and ${ROUNDS} decode rounds of prompts of all lengths in one process: exactly the same tensor count, and a resident set within 3 % of that after the first ${SETTLED}`, async () => {
  const policy = new TensorFlowPolicy();
  await policy.use(await tinyWeights(tinyModel('qwen3-tied')));
  await policy.useMoments(null, 0);
  // Kernels are kept by the shapes that they were met with: the same prompt again and again would show nothing of that.
  const tokens = (count: number, key: string): number[] =>
    Array.from({ length: count }, (_, n) => tiny.prompt[Math.floor(uniform(`${key}/${n}`) * tiny.prompt.length)]!);
  const round = async (i: number): Promise<void> => {
    const promptIds = tokens(20 + Math.floor(100 * uniform(`length/${i}`)), `prompt/${i}`);
    const sequences = [0, 1, 2].map((j) => ({
      prefixGroup: 'a',
      promptIds,
      responseIds: tokens(2 + Math.floor(10 * uniform(`length/${i}/${j}`)), `response/${i}/${j}`),
    }));
    await policy.step(sequences, (_, rows) => rows.map((row) => row.map(() => -1e-3)), {
      temperature: 0.9,
      microBatchTokens: 1024,
      learningRate: 1e-5,
      betas: [0.9, 0.95],
      epsilon: 1e-8,
      weightDecay: 0,
      maxGradientNorm: 1,
    });
    await policy.sample(
      [0, 1].map((j) => ({ prefixGroup: 'a', promptIds, randomKey: `${i}/${j}` })),
      { temperature: 0.9, maxResponseTokens: 8 },
    );
  };
  const measured = async (): Promise<{ tensors: number; residentBytes: number }> => {
    collectGarbage(); // what JavaScript has not yet given back is no leak
    return policy.device();
  };
  for (let i = 0; i < SETTLED; i++) await round(i);
  const settled = await measured();
  for (let i = SETTLED; i < ROUNDS; i++) await round(i);
  const end = await measured();
  assert.equal(end.tensors, settled.tensors);
  const growth = end.residentBytes / settled.residentBytes - 1;
  console.log(
    `resident set ${(settled.residentBytes / 2 ** 20).toFixed(1)} MiB after ${SETTLED} rounds, ${(end.residentBytes / 2 ** 20).toFixed(1)} MiB after ${ROUNDS}: ${(100 * growth).toFixed(2)} %; ${end.tensors} tensors`,
  );
  assert.ok(growth <= 0.03, `the resident set grew by ${(100 * growth).toFixed(2)} %`);
});
