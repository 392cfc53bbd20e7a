/** Arithmetic on plain arrays, summed in order: equal inputs give equal bits. */

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** 0 for no values. */
export const mean = (values: readonly number[]): number => (values.length === 0 ? 0 : sum(values) / values.length);

/** Divides by n - 1. 0 for fewer than two values. */
export function sampleStandardDeviation(values: readonly number[]): number {
  const n = values.length;
  return n < 2 ? 0 : populationStandardDeviation(values) * Math.sqrt(n / (n - 1));
}

/** Divides by n, not n - 1. 0 for no values. */
export function populationStandardDeviation(values: readonly number[]): number {
  const centre = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - centre) ** 2)));
}
