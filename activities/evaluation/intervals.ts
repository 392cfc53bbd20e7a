import { quantile } from '../numerics/quantile.js';
import { resampledIndices, uniforms } from '../numerics/random.js';
import { mean, sampleStandardDeviation } from '../numerics/statistics.js';
import { normalQuantile, studentQuantile } from '../numerics/student.js';

export interface IntervalOptions {
  /** Resample r draws its tasks by `<key>/<r>`: the same key resamples the same tasks, whatever is measured on them. */
  readonly key: string;
  readonly resamples: number;
  /** Share of intervals that contain the true value. */
  readonly confidence: number;
}

/** Ends of an interval, the lower first. */
export type Interval = [number, number];

/**
 * With fewer tasks resampling understates: means of resamples are too close together, and ratios of counts too coarse.
 */
const ENOUGH_TO_RESAMPLE = 30;

/**
 * Means of the values of tasks drawn with replacement: what the mean could have been with other tasks of the same kind.
 * Resampling whole tasks, not episodes, because episodes of one task are alike.
 *
 * @param values_B  one value per task
 * @returns         one mean per resample
 */
export function resampledMeans(values_B: readonly number[], { key, resamples }: IntervalOptions): number[] {
  const B = values_B.length;
  return Array.from({ length: resamples }, (_, r) => {
    let total = 0;
    for (const b of resampledIndices(`${key}/${r}`, B)) total += values_B[b]!;
    return total / B;
  });
}

/**
 * Interval of the mean over tasks of values in [0, 1], for other tasks of the same kind; null with fewer than two.
 *
 * Wilson's score interval (1927) for as many tasks as there would be of zeros and ones with this variance: the
 * variance that a mean near 0 or 1 bounds is not taken from the few values alone. Of zeros and ones it is Wilson's;
 * else the variance is estimated, and Student's quantile takes the normal's place.
 */
export function intervalOfMean(
  values_B: readonly number[],
  { confidence }: Pick<IntervalOptions, 'confidence'>,
): Interval | null {
  const B = values_B.length;
  if (B < 2) return null;
  const m = mean(values_B);
  const variance = sampleStandardDeviation(values_B) ** 2;
  if (isNothing(variance)) return ofEqualValues(m, B, confidence, [0, 1]);
  const areCounts = values_B.every((value) => value === 0 || value === 1);
  const z = areCounts ? normalQuantile(confidence) : studentQuantile(confidence, B - 1);
  const n = areCounts ? B : (B * m * (1 - m)) / Math.min(variance, m * (1 - m));
  const middle = (m + z ** 2 / (2 * n)) / (1 + z ** 2 / n);
  const half = (z * Math.sqrt((m * (1 - m)) / n + z ** 2 / (4 * n ** 2))) / (1 + z ** 2 / n);
  return [middle - half, middle + half];
}

/**
 * Mean of the differences of the same tasks under two policies, in [-1, 1], with its interval and the two-sided
 * p-value of no difference; nulls with fewer than two tasks.
 *
 * Of 30 tasks and more: percentile bootstrap (Efron, 1979), and p = 2 min(P(mean* <= 0), P(mean* >= 0)). Of fewer:
 * Student's interval, and the share of sign flips of the differences (all of them, or as many as `resamples`) whose
 * mean is as far from 0.
 *
 * @param differences_B  value under the one policy minus value under the other, per task
 */
export function pairedDifference(
  differences_B: readonly number[],
  options: IntervalOptions,
): { value: number; interval: Interval | null; pValue: number | null } {
  const B = differences_B.length;
  const value = mean(differences_B);
  if (B < 2) return { value, interval: null, pValue: null };
  const deviation = sampleStandardDeviation(differences_B);
  if (B < ENOUGH_TO_RESAMPLE || isNothing(deviation)) {
    const half = (studentQuantile(options.confidence, B - 1) * deviation) / Math.sqrt(B);
    const interval: Interval = isNothing(deviation)
      ? ofEqualValues(value, B, options.confidence, [-1, 1])
      : [Math.max(-1, value - half), Math.min(1, value + half)];
    return { value, interval, pValue: signFlipP(differences_B, options) };
  }
  const means = resampledMeans(differences_B, options);
  const share = (holds: (m: number) => boolean): number => means.filter(holds).length / means.length;
  // Of R resamples none on the other side says that p is below 2 / R, not that it is 0.
  const pValue = Math.min(
    1,
    2 *
      Math.max(
        1 / means.length,
        Math.min(
          share((m) => m <= 0),
          share((m) => m >= 0),
        ),
      ),
  );
  return {
    value,
    interval: [quantile(means, (1 - options.confidence) / 2), quantile(means, (1 + options.confidence) / 2)],
    pValue,
  };
}

/** Whether two policies differ by more than the choice of tasks: both the interval and the test must say so. */
export const isDifference = (
  { interval, pValue }: { readonly interval: Interval | null; readonly pValue: number | null },
  confidence: number,
): boolean =>
  interval !== null && pValue !== null && (interval[0] > 0 || interval[1] < 0) && pValue <= 1 - confidence + 1e-12;

/** Of a spread that is all rounding, none is known. */
const isNothing = (spread: number): boolean => spread < 1e-9;

/**
 * Values that are all equal are not certain: a share of the tasks as large as this could be otherwise without one
 * having shown (Clopper and Pearson, 1934).
 */
function ofEqualValues(value: number, B: number, confidence: number, [least, most]: Interval): Interval {
  const unseen = 1 - ((1 - confidence) / 2) ** (1 / B);
  return [value - unseen * (value - least), value + unseen * (most - value)];
}

/** Up to this many tasks all sign flips are tried: 4096. */
const ALL_FLIPS = 12;

function signFlipP(differences_B: readonly number[], { key, resamples }: IntervalOptions): number {
  const B = differences_B.length;
  const observed = Math.abs(differences_B.reduce((total, d) => total + d, 0)) - 1e-12;
  const isAsFar = (flipped: (b: number) => boolean): boolean =>
    Math.abs(differences_B.reduce((total, d, b) => total + (flipped(b) ? -d : d), 0)) >= observed;
  if (B <= ALL_FLIPS)
    return (
      Array.from({ length: 2 ** B }, (_, flips) => isAsFar((b) => ((flips >> b) & 1) === 1)).filter(Boolean).length /
      2 ** B
    );
  const drawn = Array.from({ length: resamples }, (_, r) => {
    const coins = uniforms(`${key}/flip/${r}`, B);
    return isAsFar((b) => coins[b]! < 0.5);
  });
  // The observed signs are one of the flips.
  return (drawn.filter(Boolean).length + 1) / (resamples + 1);
}
