import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SeeupoConfig } from '../../../schemas/train-config.js';
import {
  densityRatio,
  extendSuffixProducts,
  initialSuffixProducts,
  meanLogRatio,
  sequenceRatio,
} from '../../../activities/algorithms/suffix-ratios.js';

const off = { suffixRatioClip: null, suffixProductClip: null };

test('the sequence ratio is the geometric mean of the token ratios', () => {
  // log ratios ln 2 and ln 8: their mean is ln 4
  assert.ok(Math.abs(sequenceRatio([Math.log(0.2), Math.log(0.8)], [Math.log(0.1), Math.log(0.1)]) - 4) < 1e-12);
});

test('the density ratio is the product of the token ratios, of which the sequence ratio is the L-th root', () => {
  const [current, reference] = [
    [Math.log(0.2), Math.log(0.8)],
    [Math.log(0.1), Math.log(0.1)],
  ];
  assert.ok(Math.abs(densityRatio(current, reference) - 16) < 1e-12);
  assert.ok(Math.abs(sequenceRatio(current, reference) ** 2 - 16) < 1e-12);
});

test('whole ratios need a clip: without one they are refused', () => {
  assert.throws(
    () => SeeupoConfig.parse({ name: 'seeupo', suffixRatio: 'density' }),
    /suffixRatio \\"density\\" multiplies whole ratios/,
  );
  assert.equal(
    SeeupoConfig.parse({ name: 'seeupo', suffixRatio: 'density', suffixRatioClip: [0.5, 2] }).suffixRatio,
    'density',
  );
});

test('the ratio of an unmoved policy is exactly 1', () => assert.equal(sequenceRatio([-1.5, -0.25], [-1.5, -0.25]), 1));

test('responses of different lengths have no ratio', () => {
  assert.throws(() => meanLogRatio([-1], [-1, -2]), /1 and 2 tokens/);
});

test('Eq. 7 and 8: M starts as A and takes one ratio per updated turn; who was inactive keeps 1', () => {
  const start = initialSuffixProducts(['a', 'b']);
  assert.deepEqual(start, { a: 1, b: 1 });
  const afterTurn2 = extendSuffixProducts(start, new Map([['a', 1.5]]), off);
  assert.deepEqual(afterTurn2, { a: 1.5, b: 1 });
  assert.deepEqual(
    extendSuffixProducts(
      afterTurn2,
      new Map([
        ['b', 0.5],
        ['a', 2],
      ]),
      off,
    ),
    { a: 3, b: 0.5 },
  );
});

test('the clamps of the authors bound each ratio and the product', () => {
  const clips = { suffixRatioClip: [0.8, 1.2] as [number, number], suffixProductClip: [0.8, 1.3] as [number, number] };
  const once = extendSuffixProducts({ a: 1 }, new Map([['a', 9]]), clips);
  assert.deepEqual(once, { a: 1.2 });
  assert.deepEqual(extendSuffixProducts(once, new Map([['a', 9]]), clips), { a: 1.3 });
});

test('property: shuffling a pool changes no product, as they are keyed by trajectory', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), fc.double({ min: 0.1, max: 3, noNaN: true }), { minKeys: 1 }),
      (ratios) => {
        const ids = Object.keys(ratios);
        const forwards = extendSuffixProducts(initialSuffixProducts(ids), new Map(Object.entries(ratios)), off);
        const backwards = extendSuffixProducts(
          initialSuffixProducts([...ids].reverse()),
          new Map(Object.entries(ratios).reverse()),
          off,
        );
        assert.deepEqual(forwards, backwards);
      },
    ),
  );
});
