import { z } from 'zod';
import { computedIn } from './arithmetic.js';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { PolicyState } from './turn-state.js';

/** Intermediate commits of a turn update that is sharded over workers (`update.shards`). */

/** One shard's part of one optimiser step's gradient. */
export const GradientManifest = z.strictObject({
  kind: z.literal('gradient'),
  inputHash: Sha256,
  ...computedIn,
  /** Safetensors in the adapter's layout; null if the shard has no sample of the minibatch. */
  gradient: ArtifactRef.nullable(),
  /** JSON array of SamplePart. */
  parts: ArtifactRef,
});
export type GradientManifest = z.infer<typeof GradientManifest>;
/** What a sample contributed to the loss: Eq. 6's term, the divergence from the frozen reference and the entropy, in nats per token. */
export const SamplePart = z.strictObject({ surrogate: z.number(), kl: z.number(), entropy: z.number() });

/** Theta after one optimiser step on the sum of the shards' gradients. */
export const OptimizerStepManifest = z.strictObject({
  kind: z.literal('optimizer-step'),
  inputHash: Sha256,
  ...computedIn,
  policy: PolicyState,
  /** Null if the pool has fewer minibatches than steps: nothing was stepped. */
  made: z.strictObject({ gradientNorm: z.number(), parts: z.array(SamplePart) }).nullable(),
});
export type OptimizerStepManifest = z.infer<typeof OptimizerStepManifest>;

/** Where one shard's samples stand after the steps. */
export const RatiosManifest = z.strictObject({
  kind: z.literal('ratios'),
  inputHash: Sha256,
  ...computedIn,
  /** JSON array of SampleMeasurement. */
  measured: ArtifactRef,
  /** The same under theta before the turn, if earlier turns have changed it and no optimizer step sees the whole pool. */
  found: ArtifactRef.optional(),
});
export type RatiosManifest = z.infer<typeof RatiosManifest>;
export const SampleMeasurement = z.strictObject({
  id: z.string(),
  taskId: z.string(),
  advantage: z.number(),
  suffixProduct: z.number(),
  ratio: z.number(),
  density: z.number().optional(),
  surrogate: z.number(),
  clipped: z.boolean(),
  kl: z.number(),
});
