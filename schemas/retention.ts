import { z } from 'zod';
import { CheckpointManifest } from './checkpoint.js';

/** A name for an iteration, which keeps it. */
export const Tag = z.strictObject({ kind: z.literal('tag'), iteration: z.int().nonnegative() });
export type Tag = z.infer<typeof Tag>;

/** What stays of an iteration that was dropped: its figures, for the report, and what identifies its theta_{k+1}. It names no artifact. */
export const DroppedIteration = z.strictObject({
  kind: z.literal('dropped-iteration'),
  checkpoint: CheckpointManifest.omit({ policy: true }),
  /** The policy with hashes in the place of artifacts, as step hashes see it. */
  policyContent: z.unknown(),
});
export type DroppedIteration = z.infer<typeof DroppedIteration>;
