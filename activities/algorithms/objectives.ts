import { mean, sum } from '../numerics/statistics.js';
import { differentiableRatio, sequenceRatio } from './suffix-ratios.js';

/** Log-probs of one response, nats, one per token, under four policies that must not be confused. */
export interface ResponseSample {
  /** theta now. */
  readonly current: readonly number[];
  /** theta_k: the reference point of the ratio in the paper's objective. */
  readonly old: readonly number[];
  /** theta_k, which drew the response, where the ratio's reference point is another policy; left out: `old`. */
  readonly drawn?: readonly number[];
  /** The frozen reference of the KL term; null if that term is off. */
  readonly reference: readonly number[] | null;
  /** M_{t+1,i}: advantage times the ratios of the turns already updated. */
  readonly weight: number;
  /** PPO's advantage of each token; left out: the weight, for every token. */
  readonly advantages?: readonly number[];
}

export type Clip = { readonly low: number; readonly high: number };
export type KlEstimator = 'k1' | 'k2' | 'k3' | 'none';

export interface ObjectiveOptions {
  readonly clip: Clip;
  /** beta */
  readonly klCoefficient: number;
  /** Left out: k3. */
  readonly klEstimator?: KlEstimator;
  /** Each token's estimate times pi_theta / pi_theta_k, which is differentiated too. Left out: no weight. */
  readonly klImportanceWeighted?: boolean | undefined;
  /** c of the authors' code: where M < 0, a term is at least c M. Left out or null is Eq. 6. */
  readonly dualClip?: number | null;
}

/**
 * An estimate above this counts as this, and its gradient is 0: one rare token must not drown a batch. As in verl,
 * where it acts from d = 2.6 and from d = -11 on; the largest gradient that is left is 12.6. Nats.
 */
const K3_LIMIT = 10;
/** exp of more overflows long before it could mean anything. */
const LOG_RATIO_LIMIT = 20;

/**
 * min(10, exp(d) - d - 1) with d = log pi_ref - log pi_theta (k3): without the bound an unbiased estimate of the
 * divergence, and never negative. Nats.
 */
export function k3(current: number, reference: number): number {
  const d = Math.min(LOG_RATIO_LIMIT, reference - current);
  return Math.min(K3_LIMIT, Math.max(0, Math.expm1(d) - d)); // near d = 0 the difference is all rounding
}

/** dk3/dlog pi_theta = 1 - exp(d), of the same bounded function. */
const k3Gradient = (current: number, reference: number): number =>
  k3(current, reference) < K3_LIMIT ? -Math.expm1(reference - current) : 0;

/** Divergence of one token and its derivative by log pi_theta; k1 = -d, k2 = d^2 / 2, k3 as above. */
const ESTIMATORS: Record<KlEstimator, { value: typeof k3; gradient: typeof k3 }> = {
  k1: { value: (current, reference) => current - reference, gradient: () => 1 },
  k2: {
    value: (current, reference) => (current - reference) ** 2 / 2,
    gradient: (current, reference) => current - reference,
  },
  k3: { value: k3, gradient: k3Gradient },
  none: { value: () => 0, gradient: () => 0 },
};

/** Eq. 6 for one sample: min(s M, clip(s, 1 - low, 1 + high) M); no clip: s M. */
export function clippedTerm(
  ratio: number,
  weight: number,
  clip: Clip | null,
  dualClip: number | null = null,
): { value: number; active: boolean } {
  const clipped = clip === null ? ratio : Math.min(1 + clip.high, Math.max(1 - clip.low, ratio));
  const active = ratio * weight <= clipped * weight;
  const value = active ? ratio * weight : clipped * weight;
  if (dualClip !== null && weight < 0 && value < dualClip * weight) return { value: dualClip * weight, active: false };
  return { value, active };
}

type KlOptions = Pick<ObjectiveOptions, 'klCoefficient' | 'klEstimator' | 'klImportanceWeighted'>;

export interface SampleLoss {
  readonly ratio: number;
  /** Eq. 6's term; the surrogate is its mean. */
  readonly surrogate: number;
  readonly clipped: boolean;
  /** Mean divergence over the response's tokens. */
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
export function seeupoLoss(sample: ResponseSample, count: number, options: ObjectiveOptions): SampleLoss {
  const { current, old, weight } = sample;
  const L = current.length;
  const { ratio, slope } = differentiableRatio(current, old);
  const { value, active } = clippedTerm(ratio, weight, options.clip, options.dualClip);
  const towardsSurrogate = active ? (-weight * slope) / (L * count) : 0;
  const divergence = divergenceTerm(sample, 1 / L, options);
  return {
    ratio,
    surrogate: value,
    clipped: !active,
    kl: divergence.kl,
    gradient: divergence.gradient.map((g) => towardsSurrogate + g / count),
  };
}

/**
 * The KL term of one response as scale x sum over its tokens, and beta times its gradient.
 *
 * As it stands it is an estimate for tokens that theta drew; they were drawn by theta_k. With `klImportanceWeighted`
 * each token's is weighted by r = pi_theta / pi_theta_k, through which the gradient goes as well: r k has the expected
 * gradient of KL(theta || reference), also after theta has moved (as in DeepSeek-V3.2, arXiv 2512.02556, and TRL's
 * use_bias_correction_kl).
 */
function divergenceTerm(
  { current, old, drawn = old, reference }: ResponseSample,
  scale: number,
  options: KlOptions,
): { kl: number; gradient: number[] } {
  if (reference === null) return { kl: 0, gradient: current.map(() => 0) };
  const { klCoefficient, klEstimator = 'k3', klImportanceWeighted = false } = options;
  const terms = current.map((logProb, l) => {
    const value = ESTIMATORS[klEstimator].value(logProb, reference[l]!);
    const gradient = ESTIMATORS[klEstimator].gradient(logProb, reference[l]!);
    if (!klImportanceWeighted) return { value, gradient };
    const { ratio, slope } = differentiableRatio([logProb], [drawn[l]!]);
    return { value: ratio * value, gradient: slope * value + ratio * gradient };
  });
  return {
    kl: scale * sum(terms.map(({ value }) => value)),
    gradient: terms.map(({ gradient }) => klCoefficient * scale * gradient),
  };
}

/** How token terms become a loss: `scale` times their sum is the response's share of a mean over `count` responses. */
export interface TokenAggregation {
  readonly count: number;
  readonly scale: number;
}

/**
 * GRPO's loss on one response: Eq. 3 of arXiv 2402.03300, with a ratio and a clip per token,
 *
 *   loss = -(1/count) sum_i scale_i sum_l min(r_il A_i, clip(r_il) A_i) + beta (1/count) sum_i scale_i sum_l kl_il
 *
 * scale 1/L_i is GRPO's; 1/(longest response allowed) dr-grpo's; count / (tokens of the batch) dapo's. With an
 * advantage of its own for each token, A_il, it is PPO's clipped objective (Eq. 7 of arXiv 1707.06347).
 */
export function grpoLoss(
  sample: ResponseSample,
  { count, scale }: TokenAggregation,
  options: ObjectiveOptions,
): SampleLoss {
  const { current, old, weight, advantages } = sample;
  const terms = current.map((logProb, l) => {
    const { ratio, slope } = differentiableRatio([logProb], [old[l]!]);
    const advantage = advantages?.[l] ?? weight;
    return { slope, advantage, ...clippedTerm(ratio, advantage, options.clip, options.dualClip) };
  });
  const divergence = divergenceTerm(sample, scale, options);
  return {
    ratio: sequenceRatio(current, old),
    surrogate: scale * sum(terms.map(({ value }) => value)),
    clipped: terms.some(({ active }) => !active),
    kl: divergence.kl,
    gradient: terms.map(
      ({ slope, advantage, active }, l) => (divergence.gradient[l]! - (active ? scale * advantage * slope : 0)) / count,
    ),
  };
}

/**
 * REINFORCE on one response: -(1/count) A scale sum_l log pi(y_l), plus the KL term, a mean over the response's
 * tokens.
 */
export function reinforceLoss(
  sample: ResponseSample,
  { count, scale }: TokenAggregation,
  options: KlOptions,
): SampleLoss {
  const { current, old, weight } = sample;
  const divergence = divergenceTerm(sample, 1 / current.length, options);
  return {
    ratio: sequenceRatio(current, old),
    surrogate: weight * scale * sum(current),
    clipped: false,
    kl: divergence.kl,
    gradient: divergence.gradient.map((g) => (g - weight * scale) / count),
  };
}

/**
 * What a response of L tokens multiplies the sum of its token terms by, so that a mean over the batch's responses is
 * the mean that `aggregation` names.
 *
 * @param lengths  tokens of each response of the batch
 */
export function tokenScale(
  { aggregation }: { readonly aggregation: 'sequence-mean' | 'token-mean' | 'constant' },
  lengths: readonly number[],
  maxResponseTokens: number,
): (L: number) => number {
  const tokens = sum(lengths);
  return (L) =>
    aggregation === 'sequence-mean'
      ? 1 / L
      : aggregation === 'token-mean'
        ? lengths.length / tokens
        : 1 / maxResponseTokens;
}

/** GRPO's and PPO's loss of one response of a batch, which `aggregation` makes a mean. */
export function tokenLoss(
  { lengths, maxResponseTokens }: { readonly lengths: readonly number[]; readonly maxResponseTokens: number },
  options: ObjectiveOptions & Parameters<typeof tokenScale>[0],
): (sample: ResponseSample) => SampleLoss {
  const scaleOf = tokenScale(options, lengths, maxResponseTokens);
  return (sample) => grpoLoss(sample, { count: lengths.length, scale: scaleOf(sample.current.length) }, options);
}

/**
 * dLoss/dH of every token of a response: the loss has -c times the mean over `count` responses of their mean token
 * entropy H.
 */
export const entropyGradient = (tokens: number, count: number, coefficient: number): number[] =>
  new Array<number>(tokens).fill(-coefficient / (tokens * count));

/** What one response adds to a batch's loss. */
export interface LossParts extends Pick<SampleLoss, 'surrogate' | 'kl'> {
  /** Mean entropy of the response's tokens, nats. */
  readonly entropy?: number;
  /** PPO's value loss of the response. */
  readonly valueLoss?: number;
}

/** Weights of the loss's terms beside the surrogate. */
export interface LossCoefficients {
  readonly klCoefficient: number;
  readonly entropyCoefficient?: number;
  readonly valueCoefficient?: number;
}

/** Loss of a batch from its samples' parts. */
export const totalLoss = (
  parts: readonly LossParts[],
  { klCoefficient, entropyCoefficient = 0, valueCoefficient = 0 }: LossCoefficients,
): number =>
  -mean(parts.map(({ surrogate }) => surrogate)) +
  klCoefficient * mean(parts.map(({ kl }) => kl)) -
  entropyCoefficient * mean(parts.map(({ entropy = 0 }) => entropy)) +
  valueCoefficient * mean(parts.map(({ valueLoss = 0 }) => valueLoss));
