import { quantile } from '../numerics/quantile.js';
import { uniforms } from '../numerics/random.js';
import { mean } from '../numerics/statistics.js';

export interface BootstrapOptions {
  /** Resample r draws its tasks by `<key>/<r>`: the same key resamples the same tasks, whatever is measured on them. */
  readonly key: string;
  readonly resamples: number;
  /** Share of resampled means that the interval holds. */
  readonly confidence: number;
}

/** Ends of an interval, the lower first. */
export type Interval = [number, number];

/**
 * Means of the values of tasks drawn with replacement: what the mean could have been with other tasks of the same kind.
 * Resampling whole tasks, not episodes, because episodes of one task are alike.
 *
 * @param values_B  one value per task
 * @returns         one mean per resample
 */
export function resampledMeans(values_B: readonly number[], { key, resamples }: BootstrapOptions): number[] {
  const B = values_B.length;
  return Array.from({ length: resamples }, (_, r) => {
    let total = 0;
    // Single precision may round a uniform number up to 1.
    for (const u of uniforms(`${key}/${r}`, B)) total += values_B[Math.min(B - 1, Math.floor(u * B))]!;
    return total / B;
  });
}

/** Percentile interval of the mean (Efron, 1979); null with fewer than two tasks, where there is nothing to resample. */
export function bootstrapInterval(values_B: readonly number[], options: BootstrapOptions): Interval | null {
  if (values_B.length < 2) return null;
  return intervalOf(resampledMeans(values_B, options), options.confidence);
}

/**
 * Mean of the differences of the same tasks under two policies, with its percentile interval and the two-sided p-value
 * of no difference: 2 min(P(mean* <= 0), P(mean* >= 0)), at most 1.
 *
 * @param differences_B  value under the one policy minus value under the other, per task
 */
export function pairedBootstrap(differences_B: readonly number[], options: BootstrapOptions): { value: number; interval: Interval | null; pValue: number | null } {
  const value = mean(differences_B);
  if (differences_B.length < 2) return { value, interval: null, pValue: null };
  const means = resampledMeans(differences_B, options);
  const share = (holds: (m: number) => boolean): number => means.filter(holds).length / means.length;
  const pValue = Math.min(1, 2 * Math.min(share((m) => m <= 0), share((m) => m >= 0)));
  return { value, interval: intervalOf(means, options.confidence), pValue };
}

const intervalOf = (means: readonly number[], confidence: number): Interval => [quantile(means, (1 - confidence) / 2), quantile(means, (1 + confidence) / 2)];
