import { z } from 'zod';
import { computedIn } from './arithmetic.js';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { TurnUpdateMetrics } from './metrics.js';

/**
 * theta and the optimiser that moves it: the frozen weights (a model file plus adapters folded into
 * it), one trainable adapter or trained weights of their own, AdamW's moments and step count.
 */
export const PolicyState = z.strictObject({
  /** Adapters folded into the model file's weights, in order: the frozen reference. */
  folded: z.array(ArtifactRef),
  /** Safetensors with the trainable adapter, fp32; null is the zero adapter. */
  adapter: ArtifactRef.nullable(),
  /** With `training: full` theta itself, a TensorGroups artifact; null or left out is the folded weights. */
  weights: ArtifactRef.nullable().optional(),
  /** Safetensors with AdamW's first and second moments, of full training a TensorGroups artifact; null is zero. */
  moments: ArtifactRef.nullable(),
  /** AdamW steps taken since the moments were zero. */
  optimizerSteps: z.int().nonnegative(),
  /** JSON of ValueHead; only where there is a learned critic, and after its first update. */
  valueHead: ArtifactRef.optional(),
});
export type PolicyState = z.infer<typeof PolicyState>;

/** Safetensors of a whole model's tensors: a blob per tensor group, in the model's order. */
export const TensorGroups = z.array(ArtifactRef).min(1);

/** PPO's linear value head, V = w h + b on the last hidden state h, with AdamW's moments. Element H is the bias. */
export const ValueHead = z.strictObject({
  weights: z.array(z.number()),
  first: z.array(z.number()),
  second: z.array(z.number()),
  steps: z.int().nonnegative(),
});
export type ValueHead = z.infer<typeof ValueHead>;

/** Commit of one turn's update: theta after it together with the M it implies, which must not part. */
export const TurnStateManifest = z.strictObject({
  kind: z.literal('turn-state'),
  inputHash: Sha256,
  ...computedIn,
  iteration: z.int().nonnegative(),
  turn: z.int().positive(),
  policy: PolicyState,
  /** rho products so far by trajectory id: M_t = product x A. JSON artifact. */
  suffixProducts: ArtifactRef,
  metrics: TurnUpdateMetrics,
});
export type TurnStateManifest = z.infer<typeof TurnStateManifest>;
/** Contents of the suffixProducts artifact: trajectory id -> product of the ratios of the turns updated so far. */
export const SuffixProducts = z.record(z.string(), z.number());
export type SuffixProducts = z.infer<typeof SuffixProducts>;
