import { z } from 'zod';

/** What a set of trajectories amounts to. Rates are shares in [0, 1]. */
export const RolloutMetrics = z.strictObject({
  trajectories: z.int(),
  meanReward: z.number(),
  successRate: z.number(),
  /** Element t-1: share of all trajectories that passed turn t. */
  turnPassRate: z.array(z.number()),
  meanResponseTokens: z.number(),
  sampledTokens: z.int(),
  /** Share of responses cut by the token limit. */
  truncatedRate: z.number(),
  /** Calls that did not parse or were refused, per response. */
  malformedCallRate: z.number(),
});
export type RolloutMetrics = z.infer<typeof RolloutMetrics>;

/** Least, 5th, 50th and 95th percentile, greatest. */
export const Quantiles = z.strictObject({
  min: z.number(),
  p05: z.number(),
  p50: z.number(),
  p95: z.number(),
  max: z.number(),
});
export type Quantiles = z.infer<typeof Quantiles>;

/** Ways in which a turn's update can undo itself, see GuardConfig. */
export const Violation = z.enum(['surrogate-fell', 'kl-over-limit', 'non-finite']);
export type Violation = z.infer<typeof Violation>;

/**
 * What one turn's update did; means are over the active trajectories of the pool. Of a rejected update: what it was rejected for, or,
 * where that is no number, the turn as it was found.
 */
export const TurnUpdateMetrics = z.strictObject({
  turn: z.int().positive(),
  active: z.int().nonnegative(),
  /** Steps that theta keeps: 0 of a rejected update. */
  optimizerSteps: z.int().nonnegative(),
  /** Mean over minibatches of the loss before the step: -surrogate + beta * KL - c * entropy. */
  loss: z.number(),
  /** The algorithm's surrogate over all samples, Eq. 6's mean of min(s M, clip(s) M): as the turn found theta, and after it. */
  surrogateBefore: z.number(),
  surrogateAfter: z.number(),
  /** Mean divergence from the frozen reference, nats per token, before each step. */
  klReference: z.number(),
  /** Mean k3 estimate of KL(theta_k || theta) after the update, nats per token; never negative. */
  klIteration: z.number(),
  /** Share of samples whose surrogate term is clipped after the update. */
  clipFraction: z.number(),
  ratioMean: z.number(),
  /** rho_it after the update. */
  ratio: Quantiles,
  /** M_{t+1,i}: what the turn was trained with. */
  weight: Quantiles,
  /** Kish's effective sample size of the ratio products that make M_t, as a share of the samples: 1 if all are equal. */
  effectiveSampleSize: z.number(),
  /** Share of the pool's groups whose samples all have the same advantage. */
  groupsWithoutVariance: z.number(),
  /** Mean entropy of the policy per response token before each step, nats. */
  entropy: z.number(),
  /** |gradient| before clipping, mean over steps. */
  gradientNorm: z.number(),
  /** PPO's value head, before each step; null without one. Explained variance: 1 - var(return - V) / var(return), 0 if returns are all equal. */
  critic: z.strictObject({ valueLoss: z.number(), explainedVariance: z.number() }).nullable(),
  guard: z.strictObject({
    decision: z.enum(['kept', 'stopped', 'rejected']),
    violations: z.array(Violation),
  }),
});
export type TurnUpdateMetrics = z.infer<typeof TurnUpdateMetrics>;

/**
 * Seconds and tokens of a step. They vary from run to run, so they lie beside the manifests, which are
 * the same bytes whenever a step is done again.
 */
export const Timing = z.strictObject({
  seconds: z.number().nonnegative(),
  /** Tokens that went through the model. */
  tokens: z.int().nonnegative(),
  /** Seconds of `seconds` spent in storage. */
  storageSeconds: z.number().nonnegative(),
});
export type Timing = z.infer<typeof Timing>;

/** Timings of an iteration's kinds of step: rollout, group, score, update. */
export const IterationTiming = z.record(z.string(), Timing);
export type IterationTiming = z.infer<typeof IterationTiming>;
