/**
 * Unbiased estimate of the probability that at least one of k samples succeeds, from n samples of
 * which c did: 1 - C(n-c, k) / C(n, k) (Chen et al., arXiv 2107.03374, Eq. 1).
 *
 * @throws {RangeError} unless 0 <= c <= n and 1 <= k <= n
 */
export function passAtK(samples: number, successes: number, k: number): number {
  if (!(successes >= 0 && successes <= samples))
    throw new RangeError(`${successes} successes of ${samples} samples cannot be`);
  if (!(k >= 1 && k <= samples)) throw new RangeError(`pass@${k} needs at least ${k} samples, found ${samples}`);
  let allFail = 1; // C(n-c, k) / C(n, k), as a product that cannot overflow
  for (let i = 0; i < k; i++) allFail *= Math.max(0, samples - successes - i) / (samples - i);
  return 1 - allFail;
}
