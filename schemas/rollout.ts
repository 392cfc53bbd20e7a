import { z } from 'zod';
import { computedIn } from './arithmetic.js';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { RolloutMetrics } from './metrics.js';

/** Commit of one shard of episodes under theta_k. */
export const RolloutShardManifest = z.strictObject({
  kind: z.literal('rollout-shard'),
  inputHash: Sha256,
  ...computedIn,
  shard: z.int().nonnegative(),
  /** JSON array of Trajectory, by task then sample. */
  trajectories: ArtifactRef,
  metrics: RolloutMetrics,
});
export type RolloutShardManifest = z.infer<typeof RolloutShardManifest>;
