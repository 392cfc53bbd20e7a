import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  generalizedAdvantages,
  normalizedAdvantages,
  tokenAdvantagesOf,
} from '../../../activities/algorithms/generalized-advantages.js';

const near = (a: readonly number[], b: readonly number[], tolerance = 1e-9): void => {
  assert.equal(a.length, b.length);
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]!) <= tolerance, `element ${i}: ${value}, expected ${b[i]}`));
};

test('gamma = lambda = 1: the advantage is R - V and every return is R', () => {
  const { advantages, returns } = generalizedAdvantages(1, [0.25, 0.5, 0.75], { gamma: 1, lambda: 1 });
  near(advantages, [0.75, 0.5, 0.25]);
  near(returns, [1, 1, 1]);
});

test('lambda = 0: the one-step error, rewarded at the last token only', () => {
  // delta = 0.5 - 0.25, 0.75 - 0.5, 1 - 0.75
  near(generalizedAdvantages(1, [0.25, 0.5, 0.75], { gamma: 1, lambda: 0 }).advantages, [0.25, 0.25, 0.25]);
});

test('gamma = 0.5, lambda = 0.5, two tokens, by hand', () => {
  // delta_2 = 2 - 1 = 1; delta_1 = 0.5 * 1 - 3 = -2.5; A_1 = -2.5 + 0.25 * 1
  const { advantages, returns } = generalizedAdvantages(2, [3, 1], { gamma: 0.5, lambda: 0.5 });
  near(advantages, [-2.25, 1]);
  near(returns, [0.75, 2]);
});

test('property: GAE is the lambda-weighted mean of the n-step advantages, summed by brute force', () => {
  const unit = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: 1, maxLength: 8 }),
      fc.double({ min: -3, max: 3, noNaN: true }),
      unit,
      unit,
      (values, reward, gamma, lambda) => {
        const L = values.length;
        const discounted = (l: number, n: number): number => {
          let total = 0;
          for (let k = 0; k < n; k++) total += gamma ** k * (l + k === L - 1 ? reward : 0);
          return total + (l + n < L ? gamma ** n * values[l + n]! : 0);
        };
        const expected = values.map((value, l) => {
          const steps = L - l;
          let total = 0;
          for (let n = 1; n <= steps; n++)
            total += (n === steps ? lambda ** (n - 1) : (1 - lambda) * lambda ** (n - 1)) * (discounted(l, n) - value);
          return total;
        });
        near(generalizedAdvantages(reward, values, { gamma, lambda }).advantages, expected, 1e-8);
      },
    ),
  );
});

test('batch normalisation is over the tokens of all trajectories, and the clamp comes after it', () => {
  // 1 2 | 6: mean 3, variance (4 + 1 + 9) / 3
  const scale = Math.sqrt(14 / 3) + 1e-6;
  assert.deepEqual(normalizedAdvantages([[1, 2], [6]], { normalization: 'batch', advantageClip: null }), [
    [-2 / scale, -1 / scale],
    [3 / scale],
  ]);
  assert.deepEqual(normalizedAdvantages([[1, 2], [6]], { normalization: 'none', advantageClip: 1.5 }), [
    [1, 1.5],
    [1.5],
  ]);
});

test('the turns of a trajectory are one sequence: a later turn’s values reach back into the turn before', () => {
  const options = { gamma: 1, lambda: 0, normalization: 'none', advantageClip: null } as const;
  const [first, second] = tokenAdvantagesOf([{ reward: 1, values: [[0, 0.5], [0.25]] }], options)[0]!;
  near(first!.advantages, [0.5, -0.25]); // 0.5 - 0, then 0.25 - 0.5 across the turns
  near(second!.advantages, [0.75]);
  assert.deepEqual(second!.values, [0.25]);
});
