import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { batchLoss } from '../../../activities/algorithms/index.js';
import {
  clippedTerm,
  grpoLoss,
  reinforceLoss,
  seeupoLoss,
  totalLoss,
  type ResponseSample,
} from '../../../activities/algorithms/objectives.js';
import { AlgorithmConfig, GrpoConfig, SeeupoConfig } from '../../../schemas/train-config.js';
import { groupRelativeAdvantages, shapedReward } from '../../../activities/algorithms/advantages.js';
import { turnOrder } from '../../../workflows/turn-order.js';

const near = (a: number, b: number, tolerance = 1e-9): void =>
  assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a}, expected ${b}`);
const clip = { low: 0.2, high: 0.2 };
const noKl = { clip, klCoefficient: 0 };

test('GRPO clips each token by itself: hand-worked', () => {
  // ratios 1.5 and 1.1, A = 2: min(3, 1.2 * 2) = 2.4 (clipped) and 2.2; mean 2.3
  const part = grpoLoss(
    { current: [Math.log(1.5), Math.log(1.1)], old: [0, 0], reference: null, weight: 2 },
    { count: 1, scale: 1 / 2 },
    noKl,
  );
  near(part.surrogate, 2.3);
  near(part.gradient[0]!, 0);
  near(part.gradient[1]!, -1.1); // -A r / L = -2 * 1.1 / 2
});

test('REINFORCE pushes every token by -A / N', () => {
  const part = reinforceLoss(
    { current: [-1, -2], old: [-1, -2], reference: null, weight: 3 },
    { count: 4, scale: 1 },
    noKl,
  );
  assert.deepEqual(part.gradient, [-0.75, -0.75]);
  assert.equal(part.surrogate, -9);
});

test('the dual clip bounds what a large ratio can cost: s = 5, M = -1, c = 3 gives -3', () => {
  assert.deepEqual(clippedTerm(5, -1, clip, 3), { value: -3, active: false });
  assert.deepEqual(clippedTerm(5, -1, clip), { value: -5, active: true });
});

test('a leave-one-out baseline is the mean of the others: rewards 1 0 0 give 1, -1/2, -1/2', () => {
  const three = [1, 0, 0].map((reward, g) => ({ id: `a#${g}`, taskId: 'a', reward }));
  const values = [
    ...groupRelativeAdvantages(three, {
      normalization: 'none',
      advantageClip: null,
      baseline: 'leave-one-out',
    }).values(),
  ];
  [1, -0.5, -0.5].forEach((expected, i) => near(values[i]!, expected));
});

test('the magnified reward sets success apart: 1 gives 1.5, 0.5 gives 0.25', () => {
  assert.deepEqual([shapedReward(1, 'magnified'), shapedReward(0.5, 'magnified'), shapedReward(0.5)], [1.5, 0.25, 0.5]);
});

test('shares are probabilities: a trajectory of double share is one that stands twice', () => {
  const options = { normalization: 'batch', advantageClip: null } as const;
  const shared = groupRelativeAdvantages(
    [
      { id: 'x', taskId: 'a', reward: 3, share: 2 / 3 },
      { id: 'y', taskId: 'a', reward: 0, share: 1 / 3 },
    ],
    options,
  );
  const twice = groupRelativeAdvantages(
    [
      { id: 'x', taskId: 'a', reward: 3 },
      { id: 'x2', taskId: 'a', reward: 3 },
      { id: 'y', taskId: 'a', reward: 0 },
    ],
    options,
  );
  near(shared.get('x')!, twice.get('x')!);
  near(shared.get('y')!, twice.get('y')!);
});

const logProb = fc.double({ min: -1.5, max: -0.1, noNaN: true });
const sample = fc.integer({ min: 1, max: 4 }).chain((L) => {
  const tokens = fc.array(logProb, { minLength: L, maxLength: L });
  return fc.record({
    current: tokens,
    old: tokens,
    reference: tokens,
    weight: fc.double({ min: -3, max: 3, noNaN: true }),
  });
});
const configs = [
  { name: 'seeupo' },
  { name: 'seeupo', objective: 'authors' },
  { name: 'gspo' },
  { name: 'reinforce' },
  { name: 'reinforce', aggregation: 'token-mean' },
  { name: 'gigpo', dualClip: 3 },
  { name: 'turn-ppo', dualClip: 3 },
  { name: 'ppo' },
  { name: 'ppo', aggregation: 'token-mean' },
  { name: 'grpo' },
  { name: 'grpo', variant: 'dr-grpo' },
  { name: 'grpo', variant: 'dapo' },
].flatMap((config) =>
  (['k1', 'k2', 'k3', 'none'] as const).map((klEstimator) => ({
    ...config,
    klEstimator,
    klCoefficient: klEstimator === 'none' ? 0 : 0.3,
  })),
);

for (const config of configs) {
  test(`property: the gradient is that of the loss, by finite differences: ${JSON.stringify(config)}`, () => {
    const algorithm = AlgorithmConfig.parse(config);
    const h = 1e-6;
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 3 }), (samples: ResponseSample[]) => {
        const lossOf = batchLoss(
          algorithm,
          samples.map(({ current }) => current.length),
          7,
        );
        const total = (batch: readonly ResponseSample[]): number => totalLoss(batch.map(lossOf), algorithm);
        samples.forEach((s, i) => {
          const ratios = [lossOf(s).ratio, ...s.current.map((value, l) => Math.exp(value - s.old[l]!))];
          // At a corner of a clip there is no derivative.
          if (ratios.some((ratio) => [0.8, 1.2, 1.28, 3].some((corner) => Math.abs(ratio - corner) < 1e-4))) return;
          lossOf(s).gradient.forEach((g, l) => {
            const at = (delta: number): number =>
              total(
                samples.map((other, j) =>
                  j === i ? { ...other, current: other.current.map((v, m) => (m === l ? v + delta : v)) } : other,
                ),
              );
            near(g, (at(h) - at(-h)) / (2 * h), 1e-5);
          });
        });
      }),
      { numRuns: 30 },
    );
  });
}

test('property: with one turn, SeeUPO is GSPO; with one token, GRPO is GSPO', () => {
  const parse = (name: string) => AlgorithmConfig.parse({ name });
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 4 }), (samples: ResponseSample[]) => {
      const lengths = samples.map(({ current }) => current.length);
      const [seeupo, gspo] = [batchLoss(parse('seeupo'), lengths, 7), batchLoss(parse('gspo'), lengths, 7)];
      for (const s of samples) assert.deepEqual(seeupo(s), gspo(s));
      const s = samples[0]!;
      const single = { current: s.current.slice(0, 1), old: s.old.slice(0, 1), reference: null, weight: s.weight };
      near(grpoLoss(single, { count: 1, scale: 1 }, noKl).gradient[0]!, seeupoLoss(single, 1, noKl).gradient[0]!);
    }),
  );
});

test('a named set gives every option, what is stated wins, and resolving twice changes nothing', () => {
  const authors = SeeupoConfig.parse({ name: 'seeupo', objective: 'authors', advantageClip: null });
  assert.deepEqual(
    [authors.ratioReference, authors.suffixRatioClip, authors.dualClip, authors.rewardShaping, authors.advantageClip],
    ['turn', [0.8, 1.2], 3, 'magnified', null],
  );
  assert.deepEqual(SeeupoConfig.parse(authors), authors);
  const dapo = GrpoConfig.parse({ name: 'grpo', variant: 'dapo' });
  assert.deepEqual(
    [dapo.clip.high, dapo.aggregation, dapo.klCoefficient, dapo.skipGroupsWithoutVariance],
    [0.28, 'token-mean', 0, true],
  );
  assert.deepEqual(GrpoConfig.parse(dapo), dapo);
});

test('a KL estimator "none" with a coefficient is refused', () => {
  assert.match(
    SeeupoConfig.safeParse({ name: 'seeupo', klEstimator: 'none', klCoefficient: 1 }).error!.message,
    /klEstimator is/,
  );
});

test('a list is followed, a random order is a permutation by seed and iteration', () => {
  assert.deepEqual(turnOrder([2, 3, 1], 2, 0), [2, 1]);
  const of = (seed: number, iteration: number) => turnOrder({ random: seed }, 4, iteration);
  assert.deepEqual(of(1, 7), of(1, 7));
  assert.deepEqual([...of(1, 7)].sort(), [1, 2, 3, 4]);
  assert.ok(new Set(Array.from({ length: 40 }, (_, k) => of(1, k).join())).size > 12);
});

test('exact suffixes are of the turns that the order has updated', () => {});
