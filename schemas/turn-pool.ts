import { z } from 'zod';
import { computedIn } from './arithmetic.js';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { RolloutMetrics } from './metrics.js';

/** Contents of the groups artifact: one entry per trajectory, the seat it keeps in every turn pool. */
export const GroupedTrajectory = z.strictObject({
  id: z.string(),
  taskId: z.string(),
  reward: z.number(),
  /** A_i of Eq. 9 after normalisation, for readers of the store: an update's algorithm makes its own of the rewards. */
  advantage: z.number(),
  /** T_i: turns played; the trajectory is inactive in later pools. */
  turns: z.int().positive(),
  /** Shard whose trajectories artifact holds the tokens, and the index in it. */
  shard: z.int().nonnegative(),
  index: z.int().nonnegative(),
});
export type GroupedTrajectory = z.infer<typeof GroupedTrajectory>;

/** Commit of step 2 and 3: turn pools and advantages of one iteration. */
export const GroupsManifest = z.strictObject({
  kind: z.literal('groups'),
  inputHash: Sha256,
  /** T: the longest trajectory; 1 where all turns are one pool. */
  turns: z.int().positive(),
  /** Element t-1: active trajectories of D_t; responses, where all turns are one pool. */
  active: z.array(z.int().nonnegative()),
  /** Groups whose rewards are all equal, so that their advantages are 0. */
  groupsWithoutVariance: z.int().nonnegative(),
  groups: z.int().positive(),
  /** JSON array of GroupedTrajectory. */
  trajectories: ArtifactRef,
  shards: z.array(ArtifactRef),
  metrics: RolloutMetrics,
});
export type GroupsManifest = z.infer<typeof GroupsManifest>;

/** Contents of the scores artifact: per trajectory and turn, log-probs of the response tokens, in nats. */
export const TrajectoryScores = z.strictObject({
  id: z.string(),
  turns: z.array(
    z.strictObject({
      /** Under theta_k, by the code that trains. */
      old: z.array(z.number()),
      /** Under the frozen reference; null if the KL coefficient is 0. */
      reference: z.array(z.number()).nullable(),
      /** V before each token, under theta_k's value head; only where there is a learned critic. */
      values: z.array(z.number()).optional(),
    }),
  ),
});
export type TrajectoryScores = z.infer<typeof TrajectoryScores>;

/** Commit of the old and reference log-probabilities, taken once before the first turn's update. */
export const ScoresManifest = z.strictObject({
  kind: z.literal('scores'),
  inputHash: Sha256,
  ...computedIn,
  /** JSON array of TrajectoryScores. */
  scores: ArtifactRef,
  /** Largest and mean |sampler's log-prob - trainer's|, nats per token: two code paths, one policy. */
  behaviorGap: z.strictObject({ max: z.number(), mean: z.number() }),
});
export type ScoresManifest = z.infer<typeof ScoresManifest>;
