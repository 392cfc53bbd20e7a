import { z } from 'zod';
import { computedIn } from './arithmetic.js';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { RolloutMetrics, TurnUpdateMetrics } from './metrics.js';
import { PolicyState } from './turn-state.js';

/** Commit of theta_{k+1}: the iteration counts from here on. */
export const CheckpointManifest = z.strictObject({
  kind: z.literal('checkpoint'),
  inputHash: Sha256,
  /** k: the iteration that made it. */
  iteration: z.int().nonnegative(),
  policy: PolicyState,
  rollout: RolloutMetrics,
  groupsWithoutVariance: z.int(),
  /** In the order in which the turns were updated. */
  turns: z.array(TurnUpdateMetrics),
  behaviorGap: z.strictObject({ max: z.number(), mean: z.number() }),
});
export type CheckpointManifest = z.infer<typeof CheckpointManifest>;

/** Commit of the warm start: the folded adapter that RL starts from. */
export const WarmStartManifest = z.strictObject({
  kind: z.literal('warm-start'),
  inputHash: Sha256,
  ...computedIn,
  adapter: ArtifactRef,
  sequences: z.int(),
  tokens: z.int(),
  steps: z.int(),
  /** Mean loss per epoch, nats per target token. */
  epochLosses: z.array(z.number()),
});
export type WarmStartManifest = z.infer<typeof WarmStartManifest>;
