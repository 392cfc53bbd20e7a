import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import {
  clippedTerm,
  grpoLoss,
  k3,
  reinforceLoss,
  seeupoLoss,
  totalLoss,
  type KlEstimator,
  type ResponseSample,
} from '../../../activities/algorithms/objectives.js';

const clip = { low: 0.2, high: 0.2 };
const near = (a: number, b: number, tolerance = 1e-12): void =>
  assert.ok(Math.abs(a - b) <= tolerance, `${a}, expected ${b}`);

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
  fc.assert(
    fc.property(
      fc.double({ min: -50, max: 0, noNaN: true }),
      fc.double({ min: -50, max: 0, noNaN: true }),
      (a, b) => k3(a, b) >= 0,
    ),
  );
});

interface Divergence {
  readonly estimator: KlEstimator;
  readonly weighted: boolean;
  readonly current: number;
  readonly reference: number;
  readonly drawn: number;
  readonly value: number;
  readonly gradient: number;
}
/** Oracle: PyTorch's autograd on the formulas of verl and TRL (fixtures/make_divergence.py). */
const divergences = JSON.parse(
  readFileSync('test/activities/algorithms/fixtures/divergence.json', 'utf8'),
) as Divergence[];

test('every estimate of the divergence, weighted or not, has the value and gradient that PyTorch gives the formulas of verl and TRL', () => {
  for (const { estimator, weighted, current, reference, drawn, value, gradient } of divergences) {
    const options = { clip, klCoefficient: 1, klEstimator: estimator, klImportanceWeighted: weighted };
    const sample = { current: [current], old: [current], drawn: [drawn], reference: [reference], weight: 0 };
    for (const part of [
      seeupoLoss(sample, 1, options),
      grpoLoss(sample, { count: 1, scale: 1 }, options),
      reinforceLoss(sample, { count: 1, scale: 1 }, options),
    ]) {
      const what = `${estimator}${weighted ? ', weighted' : ''}, ${current} for ${reference}`;
      assert.ok(
        Math.abs(part.kl - value) <= 1e-10 * Math.max(1, Math.abs(value)),
        `${what}: ${part.kl}, PyTorch ${value}`,
      );
      assert.ok(
        Math.abs(part.gradient[0]! - gradient) <= 1e-10 * Math.max(1, Math.abs(gradient)),
        `${what}, gradient: ${part.gradient[0]}, PyTorch ${gradient}`,
      );
    }
  }
});

test('k3 is one function, however far: bounded, and with the gradient of its own values', () => {
  const h = 1e-6;
  const options = { clip, klCoefficient: 1 };
  const gradientAt = (current: number): number =>
    seeupoLoss({ current: [current], old: [current], reference: [-1], weight: 0 }, 1, options).gradient[0]!;
  for (let current = -60; current < 13; current += 0.173) {
    near(gradientAt(current), (k3(current + h, -1) - k3(current - h, -1)) / (2 * h), 1e-5);
    assert.ok(k3(current, -1) <= 10 && Math.abs(gradientAt(current)) < 12.7);
  }
  assert.deepEqual([k3(-11, -1), k3(-11.1, -1), k3(-16, -1), k3(-1e6, 0)], [10, 10, 10, 10]);
});

test('a ratio that is bounded has no gradient there: with a negative weight, where no clip acts, the loss is flat', () => {
  const h = 1e-6;
  const at = (current: number) => ({ current: [current], old: [-30], reference: null, weight: -2 });
  const options = { clip, klCoefficient: 0 };
  for (const current of [-9, -10.1, -9.9, -29, -31, -49.9, -50.1, -70]) {
    for (const lossOf of [
      (s: ResponseSample) => seeupoLoss(s, 1, options),
      (s: ResponseSample) => grpoLoss(s, { count: 1, scale: 1 }, options),
    ]) {
      const byDifferences = -(lossOf(at(current + h)).surrogate - lossOf(at(current - h)).surrogate) / (2 * h);
      near(lossOf(at(current)).gradient[0]!, byDifferences, 1e-6 * Math.max(1, Math.abs(byDifferences)));
    }
  }
});

test('weighted, the expected gradient is that of KL(theta || reference), also where theta has moved from the policy that drew; unweighted it is not', () => {
  const softmax = (logits: readonly number[]): number[] => {
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    return logits.map((logit) => Math.exp(logit) / total);
  };
  const [logits, drawn, reference] = [[0.2, -0.4, 0.9], softmax([0.8, 0.1, -0.3]), softmax([-0.2, 0.5, 0.4])];
  const klAt = (at: readonly number[]): number =>
    softmax(at).reduce((sum, p, v) => sum + p * Math.log(p / reference[v]!), 0);
  const h = 1e-6;
  const exact = logits.map(
    (_, v) =>
      (klAt(logits.map((x, i) => x + (i === v ? h : 0))) - klAt(logits.map((x, i) => x - (i === v ? h : 0)))) / (2 * h),
  );
  const expected = (klImportanceWeighted: boolean): number[] => {
    const p = softmax(logits);
    const byToken = p.map((_, token) => {
      const sample = {
        current: [Math.log(p[token]!)],
        old: [Math.log(p[token]!)],
        drawn: [Math.log(drawn[token]!)],
        reference: [Math.log(reference[token]!)],
        weight: 0,
      };
      return seeupoLoss(sample, 1, { clip, klCoefficient: 1, klImportanceWeighted }).gradient[0]!;
    });
    // dlog p(token)/dlogit_v = [v = token] - p(v)
    return logits.map((_, v) =>
      byToken.reduce((sum, g, token) => sum + drawn[token]! * g * ((v === token ? 1 : 0) - p[v]!), 0),
    );
  };
  expected(true).forEach((g, v) => near(g, exact[v]!, 1e-8));
  assert.ok(expected(false).some((g, v) => Math.abs(g - exact[v]!) > 0.05));
});

test('on-policy, the surrogate is M and its gradient -M / (L N) for every token', () => {
  const part = seeupoLoss({ current: [-1, -2], old: [-1, -2], reference: null, weight: 3 }, 5, {
    clip,
    klCoefficient: 0,
  });
  assert.equal(part.ratio, 1);
  assert.equal(part.surrogate, 3);
  part.gradient.forEach((g) => near(g, -3 / (2 * 5)));
});

test('a longer response weighs as much as a short one: the ratio is normalised by its length', () => {
  const short = seeupoLoss({ current: [-0.9], old: [-1], reference: null, weight: 1 }, 1, { clip, klCoefficient: 0 });
  const long = seeupoLoss({ current: [-0.9, -0.9, -0.9], old: [-1, -1, -1], reference: null, weight: 1 }, 1, {
    clip,
    klCoefficient: 0,
  });
  near(short.ratio, long.ratio);
  near(
    short.gradient[0]!,
    long.gradient.reduce((a, b) => a + b),
  );
});

const logProb = fc.double({ min: -3, max: -0.01, noNaN: true });
const sample = fc.integer({ min: 1, max: 5 }).chain((L) =>
  fc.record({
    current: fc.array(logProb, { minLength: L, maxLength: L }),
    old: fc.array(logProb, { minLength: L, maxLength: L }),
    drawn: fc.array(logProb, { minLength: L, maxLength: L }),
    reference: fc.array(logProb, { minLength: L, maxLength: L }),
    weight: fc.double({ min: -3, max: 3, noNaN: true }),
  }),
);

for (const klImportanceWeighted of [false, true]) {
  test(`property: the gradient is that of the loss, by finite differences${klImportanceWeighted ? ', also with a weighted divergence' : ''}`, () => {
    const options = { clip, klCoefficient: 0.3, klImportanceWeighted };
    const h = 1e-6;
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 4 }), (samples: ResponseSample[]) => {
        const lossOf = (batch: readonly ResponseSample[]): number =>
          totalLoss(
            batch.map((s) => seeupoLoss(s, batch.length, options)),
            options,
          );
        samples.forEach((s, i) => {
          const { ratio, gradient } = seeupoLoss(s, samples.length, options);
          // At the corner of the clip there is no derivative.
          if (Math.abs(ratio - 0.8) < 1e-4 || Math.abs(ratio - 1.2) < 1e-4) return;
          gradient.forEach((g, l) => {
            const at = (delta: number): number =>
              lossOf(
                samples.map((other, j) =>
                  j === i ? { ...other, current: other.current.map((v, m) => (m === l ? v + delta : v)) } : other,
                ),
              );
            near(g, (at(h) - at(-h)) / (2 * h), 1e-6);
          });
        });
      }),
    );
  });
}

test('property: a trajectory that stands twice weighs twice', () => {
  fc.assert(
    fc.property(sample, sample, (a, b) => {
      const options = { clip, klCoefficient: 0.1 };
      const loss = (batch: ResponseSample[]): number =>
        totalLoss(
          batch.map((s) => seeupoLoss(s, batch.length, options)),
          options,
        );
      near(loss([a, a, b]), (2 * loss([a]) + loss([b])) / 3, 1e-9);
    }),
  );
});
