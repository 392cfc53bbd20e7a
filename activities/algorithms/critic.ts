import type { ValueHead } from '../../schemas/turn-state.js';
import { mean, sum } from '../numerics/statistics.js';

/** Of each token of one response. */
export interface ValueSample {
  /** V under the head as it is now. */
  readonly current: readonly number[];
  /** V under theta_k's head, which the advantages were made with. */
  readonly old: readonly number[];
  readonly returns: readonly number[];
}

/** How token terms become a loss, see TokenAggregation of the policy's. */
export interface ValueAggregation {
  readonly count: number;
  readonly scale: number;
}

/**
 * PPO's value loss of one response, as part of a mean over `count`: scale times the sum over tokens of
 * 1/2 max((V - R)^2, (V_old + clip(V - V_old, -c, c) - R)^2) (as in OpenAI's baselines), and its gradient by V.
 *
 * @param clip  c; null is (V - R)^2 / 2
 */
export function valueLoss(
  { current, old, returns }: ValueSample,
  { count, scale }: ValueAggregation,
  clip: number | null,
): { value: number; gradient: number[] } {
  const c = clip ?? Infinity;
  const terms = current.map((value, l) => {
    const free = value - returns[l]!;
    const moved = value - old[l]!;
    // Inside the clip both errors are one; compared, rounding would choose between them.
    const held = Math.abs(moved) <= c ? free : old[l]! + Math.sign(moved) * c - returns[l]!;
    return free ** 2 >= held ** 2 ? { value: free ** 2 / 2, gradient: free } : { value: held ** 2 / 2, gradient: 0 };
  });
  return {
    value: scale * sum(terms.map(({ value }) => value)),
    gradient: terms.map(({ gradient }) => (scale * gradient) / count),
  };
}

/**
 * 1 - var(return - V) / var(return): 1 if V foretells every return, 0 if it is no better than a constant, negative if
 * worse. 0 if all returns are equal.
 */
export function explainedVariance(values: readonly number[], returns: readonly number[]): number {
  const variance = (xs: readonly number[]): number => {
    const centre = mean(xs);
    return mean(xs.map((x) => (x - centre) ** 2));
  };
  const total = variance(returns);
  return total === 0 ? 0 : 1 - variance(returns.map((value, l) => value - values[l]!)) / total;
}

/** The head that foretells 0 everywhere. */
export const zeroValueHead: ValueHead = { weights: [], first: [], second: [], steps: 0 };

export interface ValueOptimizer {
  readonly learningRate: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** The gradient is scaled down to this L2 norm; null is off. */
  readonly maxGradientNorm: number | null;
}

/** One AdamW step of the value head, without weight decay: as activities/policy/adamw.ts, on plain numbers. */
export function steppedValueHead(
  head: ValueHead,
  gradient: readonly number[],
  { learningRate, betas: [b1, b2], epsilon, maxGradientNorm }: ValueOptimizer,
): ValueHead {
  const norm = Math.hypot(...gradient);
  const scale = maxGradientNorm !== null && norm > maxGradientNorm ? maxGradientNorm / (norm + 1e-6) : 1;
  const steps = head.steps + 1;
  const first = gradient.map((g, i) => b1 * (head.first[i] ?? 0) + (1 - b1) * scale * g);
  const second = gradient.map((g, i) => b2 * (head.second[i] ?? 0) + (1 - b2) * (scale * g) ** 2);
  const weights = gradient.map((_, i) => {
    const denominator = Math.sqrt(second[i]! / (1 - b2 ** steps)) + epsilon;
    return (head.weights[i] ?? 0) - (learningRate * first[i]!) / (1 - b1 ** steps) / denominator;
  });
  return { weights, first, second, steps };
}
