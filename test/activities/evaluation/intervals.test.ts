import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  intervalOfMean,
  isDifference,
  pairedDifference,
  resampledMeans,
} from '../../../activities/evaluation/intervals.js';
import { normalQuantile, studentQuantile } from '../../../activities/numerics/student.js';

const options = { key: '1/bootstrap', resamples: 20_000, confidence: 0.95 };
const near = (found: number, expected: number, tolerance: number): void =>
  assert.ok(Math.abs(found - expected) <= tolerance, `${found}, expected ${expected}`);

test('quantiles are those of the tables of Student’s and the normal distribution', () => {
  for (const [confidence, degrees, t] of [
    [0.95, 1, 12.7062],
    [0.95, 7, 2.364624],
    [0.95, 19, 2.093024],
    [0.95, 29, 2.04523],
    [0.99, 4, 4.604095],
    [0.9, 63, 1.669402],
  ] as const) {
    near(studentQuantile(confidence, degrees), t, 1e-4);
  }
  near(normalQuantile(0.95), 1.959964, 1e-5);
  near(normalQuantile(0.99), 2.575829, 1e-5);
});

/** Means of all B^B equally likely resamples, sorted: the bootstrap distribution itself. */
function enumerated(values_B: readonly number[]): number[] {
  let sums = [0];
  for (let draw = 0; draw < values_B.length; draw++)
    sums = sums.flatMap((total) => values_B.map((value) => total + value));
  return sums.map((total) => total / values_B.length).sort((a, b) => a - b);
}

test('resampled means come as often as the enumeration of all 27 resamples of three tasks says', () => {
  const values = [0, 1, 4];
  const exact = enumerated(values);
  const drawn = resampledMeans(values, options);
  for (const mean of new Set(exact)) {
    const share = (means: readonly number[]) => means.filter((m) => Math.abs(m - mean) < 1e-9).length / means.length;
    // Three standard deviations of a share among 20,000: at most 3 * sqrt(0.25 / 20000) = 0.011.
    assert.ok(
      Math.abs(share(drawn) - share(exact)) < 0.011,
      `mean ${mean}: ${share(drawn)} drawn, ${share(exact)} exact`,
    );
  }
});

test('of zeros and ones the interval is Wilson’s: 2 of 8 and 18 of 20, by hand', () => {
  const ones = (k: number, n: number) => Array.from({ length: n }, (_, i) => (i < k ? 1 : 0));
  // (k + z^2/2 -+ z sqrt(k (n - k) / n + z^2 / 4)) / (n + z^2), z^2 = 3.841459
  const two = intervalOfMean(ones(2, 8), options)!;
  near(two[0], 0.0715, 1e-4);
  near(two[1], 0.5907, 1e-4);
  const eighteen = intervalOfMean(ones(18, 20), options)!;
  near(eighteen[0], 0.699, 1e-3);
  near(eighteen[1], 0.9721, 1e-3);
});

test('values that are all equal are not certain: none of 8 solved bounds the rate at 1 - 0.025^(1/8), the exact binomial bound', () => {
  const none = intervalOfMean(new Array<number>(8).fill(0), options)!;
  assert.equal(none[0], 0);
  near(none[1], 1 - 0.025 ** (1 / 8), 1e-12);
  const [low, high] = intervalOfMean(new Array<number>(8).fill(1), options)!;
  near(low, 0.025 ** (1 / 8), 1e-12);
  near(high, 1, 1e-12);
  const { interval, pValue } = pairedDifference(new Array<number>(8).fill(1), options);
  near(interval![0], 1 - 2 * (1 - 0.025 ** (1 / 8)), 1e-12);
  assert.deepEqual([interval![1], pValue], [1, 2 / 256]);
});

test('the p-value of few differences is the share of sign flips that are as far from 0, by hand', () => {
  // Sums of +-1 +-1 +-1 +-1: 2 in size or more unless two are of each sign: 16 - 6 of 16.
  const { value, pValue } = pairedDifference([1, 1, 1, -1], options);
  assert.deepEqual([value, pValue], [0.5, 10 / 16]);
  assert.equal(pairedDifference([0, 0, 0], options).pValue, 1);
});

test('of 30 tasks and more the interval is the bootstrap’s, and p is never below 2 / R', () => {
  const differences = Array.from({ length: 40 }, (_, i) => 0.3 + (i % 5) / 10);
  const { interval, pValue } = pairedDifference(differences, options);
  // Standard error of the mean: sqrt(0.02 / 40) = 0.0224.
  near(interval![0], 0.5 - 1.96 * 0.02236, 0.002);
  near(interval![1], 0.5 + 1.96 * 0.02236, 0.002);
  assert.equal(pValue, 2 / 20_000);
});

test('two figures of the same tasks are resampled alike, and another key resamples otherwise', () => {
  const values = [3, 1, 4, 1, 5];
  const twice = values.map((value) => 2 * value);
  assert.deepEqual(
    resampledMeans(twice, options),
    resampledMeans(values, options).map((mean) => 2 * mean),
  );
  assert.notDeepEqual(resampledMeans(values, { ...options, key: '2/bootstrap' }), resampledMeans(values, options));
});

test('one task has no interval, and no difference', () => {
  assert.equal(intervalOfMean([1], options), null);
  assert.deepEqual(pairedDifference([1], options), { value: 1, interval: null, pValue: null });
  assert.equal(isDifference({ interval: null, pValue: null }, 0.95), false);
});

/** Tasks of which `n` episodes each succeed with the task's own probability. */
interface Kind {
  readonly name: string;
  readonly episodes: number;
  /** By a uniform number. */
  readonly probability: (u: number) => number;
  readonly mean: number;
}
const KINDS: readonly Kind[] = [
  ...[0.1, 0.2, 0.5, 0.8].map(
    (p): Kind => ({
      name: `one episode, p ${p}`,
      episodes: 1,
      probability: () => p,
      mean: p,
    }),
  ),
  { name: 'four episodes, p 0.3', episodes: 4, probability: () => 0.3, mean: 0.3 },
  { name: 'four episodes, p uniform', episodes: 4, probability: (u) => u, mean: 0.5 },
  { name: 'four episodes, easy and hard', episodes: 4, probability: (u) => (u < 0.5 ? 0.1 : 0.9), mean: 0.5 },
];
const TRIALS = 1000;

/** Mulberry32: the simulation needs many numbers, and no more of them than that they are even. */
function drawer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Mean success of each of B tasks, twice: under two policies that do not differ. */
function played({ episodes, probability }: Kind, B: number, trial: number): [number[], number[]] {
  const draw = drawer(1 + trial * 7919);
  const rate = (p: number): number =>
    Array.from({ length: episodes }, () => Number(draw() < p)).reduce((sum, x) => sum + x, 0) / episodes;
  const tasks = Array.from({ length: B }, () => probability(draw()));
  return [tasks.map(rate), tasks.map(rate)];
}

for (const B of [8, 20, 64]) {
  test(`simulated with ${B} tasks: 95 % intervals of a mean hold it in 93 to 97 % of cases, and in no kind of task in fewer`, () => {
    const shares = KINDS.map((kind) => {
      let held = 0;
      for (let trial = 0; trial < TRIALS; trial++) {
        const [low, high] = intervalOfMean(played(kind, B, trial)[0], options)!;
        held += Number(low <= kind.mean && kind.mean <= high);
      }
      return held / TRIALS;
    });
    const told = JSON.stringify(KINDS.map(({ name }, k) => [name, shares[k]]));
    // Of eight tasks of p 0.5 Wilson's interval holds it in 1 - 18/256 = 93.0 % of cases: less three standard deviations of the simulation.
    assert.ok(
      shares.every((share) => share >= 0.93 - 3 * Math.sqrt((0.93 * 0.07) / TRIALS)),
      told,
    );
    const average = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    assert.ok(average >= 0.93 && average <= 0.97, `${average}: ${told}`);
  });
}

for (const [B, trials] of [
  [8, 400],
  [20, 60],
  [64, 40],
] as const) {
  test(`simulated with ${B} tasks: of two policies that do not differ a difference is claimed in at most 5 % of cases`, () => {
    const few = { key: 'null', resamples: 200, confidence: 0.95 };
    const claims = KINDS.map((kind) => {
      let claimed = 0;
      for (let trial = 0; trial < trials; trial++) {
        const [ours, theirs] = played(kind, B, trial);
        claimed += Number(
          isDifference(
            pairedDifference(
              ours.map((x, b) => x - theirs[b]!),
              few,
            ),
            0.95,
          ),
        );
      }
      return claimed / trials;
    });
    // Three standard deviations of a share of 0.05 among all trials.
    const average = claims.reduce((sum, share) => sum + share, 0) / claims.length;
    assert.ok(average <= 0.05 + 3 * Math.sqrt((0.05 * 0.95) / (trials * KINDS.length)), JSON.stringify(claims));
  });
}

test('a difference that is there is claimed: 20 tasks, 0.3 against 0.7', () => {
  const tasks = Array.from({ length: 20 }, (_, b) => (b % 5 === 0 ? -0.25 : 0.5));
  assert.ok(isDifference(pairedDifference(tasks, options), 0.95));
  assert.ok(!isDifference(pairedDifference(tasks.slice(0, 5), options), 0.95), 'five tasks have no flip rare enough');
});
