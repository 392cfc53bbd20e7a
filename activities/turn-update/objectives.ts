import { mean } from '../numerics/statistics.js';
import { sequenceRatio } from './suffix-ratios.js';

/** Log-probs of one response, nats, one per token, under four policies that must not be confused. */
export interface ResponseSample {
  /** theta now. */
  readonly current: readonly number[];
  /** theta_k: the reference point of the ratio in the paper's objective. */
  readonly old: readonly number[];
  /** The frozen reference of the KL term; null if that term is off. */
  readonly reference: readonly number[] | null;
  /** M_{t+1,i}: advantage times the ratios of the turns already updated. */
  readonly weight: number;
}

export interface ObjectiveOptions {
  readonly clip: { readonly low: number; readonly high: number };
  /** beta */
  readonly klCoefficient: number;
}

/** d = log pi_ref - log pi_theta above this is treated as this, so that exp(d) of one rare token cannot drown a batch. Nats. */
const KL_LOG_RATIO_LIMIT = 10;

/** k3 = exp(d) - d - 1 with d = log pi_ref - log pi_theta: an unbiased, non-negative estimate of the divergence. Nats. */
export function k3(current: number, reference: number): number {
  const d = Math.min(KL_LOG_RATIO_LIMIT, reference - current);
  return Math.max(0, Math.expm1(d) - d); // near d = 0 the difference is all rounding
}

/** dk3/dlog pi_theta = 1 - exp(d). */
const k3Gradient = (current: number, reference: number): number => -Math.expm1(Math.min(KL_LOG_RATIO_LIMIT, reference - current));

/** Eq. 6 for one sample: min(s M, clip(s, 1 - low, 1 + high) M). */
export function clippedTerm(ratio: number, weight: number, clip: ObjectiveOptions['clip']): { value: number; active: boolean } {
  const clipped = Math.min(1 + clip.high, Math.max(1 - clip.low, ratio));
  const active = ratio * weight <= clipped * weight;
  return { value: active ? ratio * weight : clipped * weight, active };
}

export interface SampleLoss {
  readonly ratio: number;
  /** Eq. 6's term; the surrogate is its mean. */
  readonly surrogate: number;
  readonly clipped: boolean;
  /** Mean k3 over the response's tokens. */
  readonly kl: number;
  /** dLoss/dlog pi_theta(y_l) of a batch whose mean is over `count` samples. */
  readonly gradient: number[];
}

/**
 * SeeUPO's loss on one response and its gradient with respect to the log-probs, as part of a mean
 * over `count` responses:
 *
 *   loss = -(1/count) sum_i min(s_i M_i, clip(s_i) M_i) + beta (1/count) sum_i (1/L_i) sum_l k3_il
 *
 * (Eq. 6 with the KL term of section 5.) ds/dlog pi_l = s / L, since s = exp(mean_l of the log ratios).
 */
export function seeupoLoss({ current, old, reference, weight }: ResponseSample, count: number, options: ObjectiveOptions): SampleLoss {
  const L = current.length;
  const ratio = sequenceRatio(current, old);
  const { value, active } = clippedTerm(ratio, weight, options.clip);
  const towardsSurrogate = active ? (-weight * ratio) / (L * count) : 0;
  const gradient = current.map((logProb, l) => {
    const towardsReference = reference === null ? 0 : (options.klCoefficient * k3Gradient(logProb, reference[l]!)) / (L * count);
    return towardsSurrogate + towardsReference;
  });
  const kl = reference === null ? 0 : mean(current.map((logProb, l) => k3(logProb, reference[l]!)));
  return { ratio, surrogate: value, clipped: !active, kl, gradient };
}

/** Loss of a batch from its samples' parts. */
export const totalLoss = (parts: readonly SampleLoss[], klCoefficient: number): number =>
  -mean(parts.map(({ surrogate }) => surrogate)) + klCoefficient * mean(parts.map(({ kl }) => kl));
