import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { clippedTerm, k3, seeupoLoss, totalLoss, type ResponseSample } from '../../../activities/turn-update/objectives.js';

const clip = { low: 0.2, high: 0.2 };
const near = (a: number, b: number, tolerance = 1e-12): void => assert.ok(Math.abs(a - b) <= tolerance, `${a}, expected ${b}`);

test('Eq. 6: a ratio past the clip in its favoured direction earns nothing more', () => {
  assert.deepEqual(clippedTerm(1.5, 2, clip), { value: 1.2 * 2, active: false });
  assert.deepEqual(clippedTerm(0.5, -2, clip), { value: 0.8 * -2, active: false });
});

test('Eq. 6: a ratio past the clip in the wrong direction is paid in full', () => {
  assert.deepEqual(clippedTerm(1.5, -2, clip), { value: -3, active: true });
  assert.deepEqual(clippedTerm(0.5, 2, clip), { value: 1, active: true });
});

test('k3 is 0 for equal log-probs, e - 2 one nat below the reference, and never negative', () => {
  assert.equal(k3(-1, -1), 0);
  near(k3(-2, -1), Math.E - 2); // d = 1
  near(k3(-1, -2), Math.exp(-1)); // d = -1: e^-1 + 1 - 1
  fc.assert(fc.property(fc.double({ min: -50, max: 0, noNaN: true }), fc.double({ min: -50, max: 0, noNaN: true }), (a, b) => k3(a, b) >= 0));
});

test('on-policy, the surrogate is M and its gradient -M / (L N) for every token', () => {
  const part = seeupoLoss({ current: [-1, -2], old: [-1, -2], reference: null, weight: 3 }, 5, { clip, klCoefficient: 0 });
  assert.equal(part.ratio, 1);
  assert.equal(part.surrogate, 3);
  part.gradient.forEach((g) => near(g, -3 / (2 * 5)));
});

test('a longer response weighs as much as a short one: the ratio is normalised by its length', () => {
  const short = seeupoLoss({ current: [-0.9], old: [-1], reference: null, weight: 1 }, 1, { clip, klCoefficient: 0 });
  const long = seeupoLoss({ current: [-0.9, -0.9, -0.9], old: [-1, -1, -1], reference: null, weight: 1 }, 1, { clip, klCoefficient: 0 });
  near(short.ratio, long.ratio);
  near(short.gradient[0]!, long.gradient.reduce((a, b) => a + b));
});

const logProb = fc.double({ min: -3, max: -0.01, noNaN: true });
const sample = fc.integer({ min: 1, max: 5 }).chain((L) =>
  fc.record({
    current: fc.array(logProb, { minLength: L, maxLength: L }),
    old: fc.array(logProb, { minLength: L, maxLength: L }),
    reference: fc.array(logProb, { minLength: L, maxLength: L }),
    weight: fc.double({ min: -3, max: 3, noNaN: true }),
  }),
);

test('property: the gradient is that of the loss, by finite differences', () => {
  const options = { clip, klCoefficient: 0.3 };
  const h = 1e-6;
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 4 }), (samples: ResponseSample[]) => {
      const lossOf = (batch: readonly ResponseSample[]): number => totalLoss(batch.map((s) => seeupoLoss(s, batch.length, options)), options);
      samples.forEach((s, i) => {
        const { ratio, gradient } = seeupoLoss(s, samples.length, options);
        // At the corner of the clip there is no derivative.
        if (Math.abs(ratio - 0.8) < 1e-4 || Math.abs(ratio - 1.2) < 1e-4) return;
        gradient.forEach((g, l) => {
          const at = (delta: number): number =>
            lossOf(samples.map((other, j) => (j === i ? { ...other, current: other.current.map((v, m) => (m === l ? v + delta : v)) } : other)));
          near(g, (at(h) - at(-h)) / (2 * h), 1e-6);
        });
      });
    }),
  );
});

test('property: a trajectory that stands twice weighs twice', () => {
  fc.assert(
    fc.property(sample, sample, (a, b) => {
      const options = { clip, klCoefficient: 0.1 };
      const loss = (batch: ResponseSample[]): number => totalLoss(batch.map((s) => seeupoLoss(s, batch.length, options)), options);
      near(loss([a, a, b]), (2 * loss([a]) + loss([b])) / 3, 1e-9);
    }),
  );
});
