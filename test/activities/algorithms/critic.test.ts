import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  explainedVariance,
  steppedValueHead,
  valueLoss,
  zeroValueHead,
  type ValueSample,
} from '../../../activities/algorithms/critic.js';

const near = (a: number, b: number, tolerance = 1e-12): void =>
  assert.ok(Math.abs(a - b) <= tolerance, `${a}, expected ${b}`);

test('the value loss is half the squared error, averaged as the aggregation says', () => {
  const { value, gradient } = valueLoss(
    { current: [1, 3], old: [1, 3], returns: [0, 1] },
    { count: 4, scale: 1 / 2 },
    null,
  );
  near(value, (1 / 2 + 4 / 2) / 2);
  assert.deepEqual(gradient, [1 / 2 / 4, 2 / 2 / 4]);
});

test('a value past its clip towards the return earns nothing more; away from it it is paid in full', () => {
  // V_old = 0, R = 2: V = 1 is clipped at 0.5, whose error 1.5 is the larger one
  assert.deepEqual(valueLoss({ current: [1], old: [0], returns: [2] }, { count: 1, scale: 1 }, 0.5), {
    value: 1.5 ** 2 / 2,
    gradient: [0],
  });
  assert.deepEqual(valueLoss({ current: [-1], old: [0], returns: [2] }, { count: 1, scale: 1 }, 0.5), {
    value: 9 / 2,
    gradient: [-3],
  });
});

test('property: the gradient is that of the value loss, by finite differences', () => {
  const number = fc.double({ min: -2, max: 2, noNaN: true });
  const sample = fc.integer({ min: 1, max: 4 }).chain((L) => {
    const row = fc.array(number, { minLength: L, maxLength: L });
    return fc.record({ current: row, old: row, returns: row });
  });
  const h = 1e-6;
  fc.assert(
    fc.property(sample, fc.constantFrom(null, 0.5), (given: ValueSample, clip) => {
      const scale = 1 / given.current.length;
      const { gradient } = valueLoss(given, { count: 3, scale }, clip);
      given.current.forEach((value, l) => {
        const error = value - given.returns[l]!;
        const held = given.old[l]! + Math.min(0.5, Math.max(-0.5, value - given.old[l]!)) - given.returns[l]!;
        // Where the larger of the two errors changes there is no derivative.
        const isOutside = Math.abs(value - given.old[l]!) > 0.5;
        if (
          clip !== null &&
          (Math.abs(Math.abs(value - given.old[l]!) - 0.5) < 1e-4 ||
            (isOutside && Math.abs(Math.abs(error) - Math.abs(held)) < 1e-4))
        )
          return;
        const at = (delta: number): number =>
          valueLoss(
            { ...given, current: given.current.map((v, m) => (m === l ? v + delta : v)) },
            { count: 3, scale },
            clip,
          ).value / 3;
        near(gradient[l]!, (at(h) - at(-h)) / (2 * h), 1e-6);
      });
    }),
  );
});

test('explained variance: 1 for a prophet, 0 for a constant and for equal returns, negative for worse', () => {
  assert.equal(explainedVariance([1, 2, 3], [1, 2, 3]), 1);
  assert.equal(explainedVariance([5, 5, 5], [1, 2, 3]), 0);
  assert.equal(explainedVariance([3, 2, 1], [1, 2, 3]), -3); // errors -2 0 2: 1 - 4
  assert.equal(explainedVariance([1, 2], [1, 1]), 0);
});

const optimizer = { learningRate: 0.1, betas: [0.5, 0.5] as [number, number], epsilon: 0, maxGradientNorm: null };

test('AdamW’s first step is the learning rate against the sign of the gradient', () => {
  const head = steppedValueHead(zeroValueHead, [4, -2], optimizer);
  assert.deepEqual(head.weights, [-0.1, 0.1]);
  assert.deepEqual([head.first, head.second, head.steps], [[2, -1], [8, 2], 1]);
});

test('its second step by hand: betas 1/2, gradients 4 then 0', () => {
  const { weights } = steppedValueHead(steppedValueHead(zeroValueHead, [4], optimizer), [0], optimizer);
  // first 1 / (1 - 1/4) = 4/3, second 4 / (1 - 1/4) = 16/3
  near(weights[0]!, -0.1 - (0.1 * (4 / 3)) / Math.sqrt(16 / 3));
});

test('a longer gradient is scaled down to its norm before it enters the moments', () => {
  const { first } = steppedValueHead(zeroValueHead, [3, 4], { ...optimizer, maxGradientNorm: 1 });
  near(first[0]!, 0.3, 1e-6);
  near(first[1]!, 0.4, 1e-6);
});
