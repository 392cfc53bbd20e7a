import { quantile } from '../../activities/numerics/quantile.js';
import { resampledIndices } from '../../activities/numerics/random.js';

/** An estimate with its 95 % interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** 97.5 % point of the standard normal distribution. */
const Z = 1.959963984540054;

/** Share k/n with Wilson's score interval (1927), which is sound at 0 and at n too. */
export function share(k: number, n: number): Estimate {
  const p = k / n;
  const denominator = 1 + Z ** 2 / n;
  const centre = (p + Z ** 2 / (2 * n)) / denominator;
  const half = (Z / denominator) * Math.sqrt((p * (1 - p)) / n + Z ** 2 / (4 * n ** 2));
  return { value: p, low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}

/**
 * Median with its exact interval from order statistics: the narrowest symmetric pair of ranks that holds the median
 * with at least 95 %, whatever the distribution. Infinite values are starts that never arrived; they keep their rank.
 */
export function median(values: readonly number[]): Estimate {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  // P(fewer than r of n values are below the median) = sum_{i < r} C(n, i) / 2^n, kept at 2.5 % or less.
  let rank = 0;
  let tail = 0;
  for (let i = 0, logTerm = -n * Math.LN2; i < n / 2; logTerm += Math.log((n - i) / (i + 1)), i++) {
    tail += Math.exp(logTerm);
    if (tail > 0.025) break;
    rank = i + 1;
  }
  return {
    value: quantile(values, 0.5),
    low: rank === 0 ? -Infinity : sorted[rank - 1]!,
    high: rank === 0 ? Infinity : sorted[n - rank]!,
  };
}

const RESAMPLES = 1000;

/** Percentile bootstrap (Efron, 1979): a figure of n items with its interval; `of` gets the indices drawn. */
export type Bootstrap = (n: number, of: (indices: Int32Array) => number) => Estimate;

/** A bootstrap whose every figure of n items is taken over the same resamples, which the key decides. */
export function bootstrap(key: string): Bootstrap {
  const known = new Map<number, Int32Array[]>();
  const resamples = (n: number): Int32Array[] => {
    const found = known.get(n) ?? Array.from({ length: RESAMPLES }, (_, r) => resampledIndices(`${key}/${n}/${r}`, n));
    known.set(n, found);
    return found;
  };
  return (n, of) => {
    const figures = resamples(n).map(of).filter(Number.isFinite);
    return {
      value: of(Int32Array.from({ length: n }, (_, i) => i)),
      low: quantile(figures, 0.025),
      high: quantile(figures, 0.975),
    };
  };
}

/** sum_i numerators / sum_i denominators of the items drawn; with all denominators 1 a mean. */
export function ratioOf(
  numerators: readonly number[],
  denominators: readonly number[],
): (indices: Int32Array) => number {
  return (indices) => {
    let [above, below] = [0, 0];
    for (const i of indices) {
      above += numerators[i]!;
      below += denominators[i]!;
    }
    return above / below;
  };
}
