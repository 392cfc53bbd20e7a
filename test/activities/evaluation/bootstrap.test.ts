import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootstrapInterval, pairedBootstrap, resampledMeans } from '../../../activities/evaluation/bootstrap.js';

const options = { key: '1/bootstrap', resamples: 20_000, confidence: 0.95 };

/** Means of all B^B equally likely resamples, sorted: the bootstrap distribution itself. */
function enumerated(values_B: readonly number[]): number[] {
  let sums = [0];
  for (let draw = 0; draw < values_B.length; draw++) sums = sums.flatMap((total) => values_B.map((value) => total + value));
  return sums.map((total) => total / values_B.length).sort((a, b) => a - b);
}

test('resampled means come as often as the enumeration of all 27 resamples of three tasks says', () => {
  const values = [0, 1, 4];
  const exact = enumerated(values);
  const drawn = resampledMeans(values, options);
  for (const mean of new Set(exact)) {
    const share = (means: readonly number[]) => means.filter((m) => Math.abs(m - mean) < 1e-9).length / means.length;
    // Three standard deviations of a share among 20,000: at most 3 * sqrt(0.25 / 20000) = 0.011.
    assert.ok(Math.abs(share(drawn) - share(exact)) < 0.011, `mean ${mean}: ${share(drawn)} drawn, ${share(exact)} exact`);
  }
});

test('the interval is the quantiles of the enumeration of all 3125 resamples of five tasks', () => {
  const values = [0.1, 0.35, 0.5, 0.9, 0.97];
  const exact = enumerated(values);
  const [low, high] = bootstrapInterval(values, options)!;
  const at = (q: number) => exact[Math.ceil(q * exact.length) - 1]!;
  assert.ok(Math.abs(low - at(0.025)) < 0.02, `${low}, exact ${at(0.025)}`);
  assert.ok(Math.abs(high - at(0.975)) < 0.02, `${high}, exact ${at(0.975)}`);
});

test('the p-value of differences 1, 1, 1, -1 is twice the share of resampled means <= 0', () => {
  // j of 4 draws are -1 with probability C(4,j) 3^(4-j) / 256; the mean is <= 0 for j >= 2: (54 + 12 + 1) / 256.
  const { value, pValue } = pairedBootstrap([1, 1, 1, -1], options);
  assert.equal(value, 0.5);
  assert.ok(Math.abs(pValue! - (2 * 67) / 256) < 0.02, `${pValue}`);
});

test('no difference has p = 1, the same difference everywhere p = 0', () => {
  assert.deepEqual(pairedBootstrap([0, 0, 0], options), { value: 0, interval: [0, 0], pValue: 1 });
  assert.deepEqual(pairedBootstrap([0.5, 0.5, 0.5], options), { value: 0.5, interval: [0.5, 0.5], pValue: 0 });
});

test('two figures of the same tasks are resampled alike, and another key resamples otherwise', () => {
  const values = [3, 1, 4, 1, 5];
  const twice = values.map((value) => 2 * value);
  assert.deepEqual(resampledMeans(twice, options), resampledMeans(values, options).map((mean) => 2 * mean));
  assert.notDeepEqual(resampledMeans(values, { ...options, key: '2/bootstrap' }), resampledMeans(values, options));
});

test('one task has no interval', () => {
  assert.equal(bootstrapInterval([1], options), null);
  assert.deepEqual(pairedBootstrap([1], options), { value: 1, interval: null, pValue: null });
});
