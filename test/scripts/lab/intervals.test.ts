import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootstrap, median, ratioOf, share } from '../../../scripts/lab/intervals.js';

const close = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 5e-4, `${a} is not ${b}`);

test('Wilson: 8 of 10 is 0.8 within [0.490, 0.943], 200 of 200 is 1 within [0.981, 1]', () => {
  const some = share(8, 10); // (0.8 + z^2/20 -+ z sqrt(0.8 0.2 / 10 + z^2/400)) / (1 + z^2/10), z = 1.96
  close(some.low, 0.4902);
  close(some.high, 0.9433);
  const all = share(200, 200); // 1 / (1 + z^2/200)
  close(all.low, 0.9812);
  assert.equal(all.high, 1);
});

test('the median of 10 values lies between the 2nd and the 9th with at least 95 %', () => {
  // P(fewer than 2 below the median) = (1 + 10) / 1024 = 1.1 %; fewer than 3: 56 / 1024 = 5.5 %, too much.
  assert.deepEqual(median([10, 1, 9, 2, 8, 3, 7, 4, 6, 5]), { value: 5, low: 2, high: 9 });
});

test('starts that never arrived keep their rank: 4 of 10 leave the median alone, 6 do not', () => {
  const of = (never: number): number[] => Array.from({ length: 10 }, (_, i) => (i < 10 - never ? i + 1 : Infinity));
  assert.deepEqual(median(of(4)), { value: 5, low: 2, high: Infinity });
  assert.equal(median(of(6)).value, Infinity);
});

test('the median of 5 values has no interval of 95 %: 1/32 of chance is outside even from the 1st to the 5th, on each side', () => {
  assert.deepEqual(median([1, 2, 3, 4, 5]), { value: 3, low: -Infinity, high: Infinity });
});

test('the bootstrap interval of a mean is that of the normal approximation where n is large, and the same every time', () => {
  const values = Array.from({ length: 400 }, (_, i) => i % 2); // mean 0.5, standard error 0.5 / 20 = 0.025
  const resample = bootstrap('seed');
  const found = resample(
    400,
    ratioOf(
      values,
      values.map(() => 1),
    ),
  );
  assert.equal(found.value, 0.5);
  assert.ok(
    Math.abs(found.low - (0.5 - 1.96 * 0.025)) < 0.006 && Math.abs(found.high - (0.5 + 1.96 * 0.025)) < 0.006,
    JSON.stringify(found),
  );
  assert.deepEqual(
    bootstrap('seed')(
      400,
      ratioOf(
        values,
        values.map(() => 1),
      ),
    ),
    found,
  );
});
