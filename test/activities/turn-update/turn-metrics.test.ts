import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PoolSample } from '../../../activities/turn-update/pool-sample.js';
import {
  effectiveSampleSize,
  measured,
  surrogateOf,
  turnMetrics,
} from '../../../activities/turn-update/turn-metrics.js';
import { SeeupoConfig } from '../../../schemas/train-config.js';

const algorithm = SeeupoConfig.parse({ name: 'seeupo', klCoefficient: 0.5, entropyCoefficient: 0.25 });
const seat = (id: string, advantage: number, suffixProduct: number, old: number[]): PoolSample => ({
  id,
  taskId: id.split('#')[0]!,
  promptIds: [0],
  responseIds: old.map(() => 1),
  old,
  reference: null,
  advantage,
  suffixProduct,
});
const near = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 1e-12, `${a}, expected ${b}`);

test('Kish: equal weights count whole, one weight alone counts as 1/n', () => {
  near(effectiveSampleSize([2, 2, 2, 2]), 1);
  near(effectiveSampleSize([1, 0, 0, 0]), 1 / 4);
  near(effectiveSampleSize([3, 1]), 16 / 10 / 2); // (3 + 1)^2 / (9 + 1) = 1.6 of 2
  assert.equal(effectiveSampleSize([]), 1);
});

// Two tasks of two samples. M = 2, -1, 0, 0; theta has doubled the first response's tokens and left the others.
const samples = [
  seat('a#0', 1, 2, [-2, -1]),
  seat('a#1', -1, 1, [-1]),
  seat('b#0', 0, 1, [-1]),
  seat('b#1', 0, 1, [-1]),
];
const old = samples.map((sample) => sample.old);
const after = [[-2 + Math.LN2, -1 + Math.LN2], [-1], [-1], [-1]];
const denominators = new Map(samples.map((sample) => [sample, sample.old]));
const at = (logProbs: readonly (readonly number[])[]) =>
  measured(samples, denominators, logProbs, samples, { algorithm, maxResponseTokens: 8 });

test('a sample is measured against its denominator: ratio, clipped term, k3 divergence from theta_k', () => {
  const [first, second] = at(after);
  near(first!.ratio, 2);
  near(first!.surrogate, 1.2 * 2); // M = 2, clipped at 1.2
  assert.equal(first!.clipped, true);
  near(first!.kl, 2 - 1 - Math.LN2); // exp(d) - 1 - d with d = ln 2, at both tokens
  assert.deepEqual(second, {
    id: 'a#1',
    taskId: 'a',
    advantage: -1,
    suffixProduct: 1,
    ratio: 1,
    surrogate: -1,
    clipped: false,
    kl: 0,
  });
});

test('the figures of a turn, worked by hand', () => {
  const steps = [
    {
      gradientNorm: 3,
      parts: [
        { surrogate: 1, kl: 0.5, entropy: 2 },
        { surrogate: 3, kl: 0.1, entropy: 1 },
      ],
    },
    { gradientNorm: 5, parts: [{ surrogate: 0, kl: 0, entropy: 0 }] },
  ];
  const metrics = turnMetrics(
    at(after),
    { surrogateBefore: surrogateOf(at(old)), steps },
    { turn: 2, algorithm, guard: { decision: 'kept', violations: [] } },
  );
  near(metrics.surrogateBefore, (2 - 1) / 4);
  near(metrics.surrogateAfter, (2.4 - 1) / 4);
  near(metrics.loss, (-2 + 0.5 * 0.3 - 0.25 * 1.5 + 0) / 2); // means of the first step 2, 0.3, 1.5; all 0 in the second
  near(metrics.klReference, 0.2);
  near(metrics.klIteration, (1 - Math.LN2) / 4);
  near(metrics.clipFraction, 0.25);
  near(metrics.ratioMean, 5 / 4);
  assert.deepEqual([metrics.ratio.min, metrics.ratio.p50], [1, 1]);
  near(metrics.ratio.max, 2);
  assert.deepEqual(metrics.weight, { min: -1, p05: -1, p50: 0, p95: 2, max: 2 });
  near(metrics.effectiveSampleSize, 49 / 19 / 4); // products 2 * 2, 1, 1, 1: 7^2 / (16 + 3) of 4
  assert.equal(metrics.groupsWithoutVariance, 0.5); // task b
  near(metrics.entropy, 1);
  assert.equal(metrics.gradientNorm, 4);
  assert.equal(metrics.optimizerSteps, 2);
  assert.equal(metrics.critic, null);
});

test('the steps of a rejected update do not count', () => {
  const metrics = turnMetrics(
    at(after),
    { surrogateBefore: 0, steps: [{ gradientNorm: 1, parts: [] }] },
    { turn: 2, algorithm, guard: { decision: 'rejected', violations: ['kl-over-limit'] } },
  );
  assert.equal(metrics.optimizerSteps, 0);
});
