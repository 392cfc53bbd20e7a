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

/** What one turn's update did; means are over the active trajectories of the pool. */
export const TurnUpdateMetrics = z.strictObject({
  turn: z.int().positive(),
  active: z.int().nonnegative(),
  optimizerSteps: z.int().nonnegative(),
  /** Mean over minibatches of the loss before the step: -surrogate + beta * KL. */
  loss: z.number(),
  /** Mean of min(s M, clip(s) M) before the update and after it, all samples, Eq. 6. */
  surrogateBefore: z.number(),
  surrogateAfter: z.number(),
  /** Mean k3 against the frozen reference, nats per token, before each step. */
  klReference: z.number(),
  /** Mean of -(log rho): how far the update moved this turn from theta_k, nats per token. */
  klIteration: z.number(),
  /** Share of samples whose ratio lies outside the clip range at the last forward pass. */
  clipFraction: z.number(),
  ratioMean: z.number(),
  ratioMin: z.number(),
  ratioMax: z.number(),
  /** |gradient| before clipping, mean over steps. */
  gradientNorm: z.number(),
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
