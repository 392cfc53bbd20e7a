import { z } from 'zod';

/** What a step's numbers depend on beside its inputs, by rounding: where and with what the model was computed. */
export const Arithmetic = z.strictObject({
  /** Of the large matrix products. */
  precision: z.enum(['fp32', 'bf16']),
  /** Copies of the policy that rows were dealt over. */
  replicas: z.int().positive(),
  /** Name of the processor or the accelerator. */
  device: z.string(),
  /**
   * Of a processor, those that a replica computes with: 4 add otherwise than 2 in bf16, seen with SmolLM2. Null on an
   * accelerator.
   */
  threads: z.int().positive().nullable(),
  /** E.g. `libtensorflow 2.21.0`. */
  library: z.string(),
  /** Variables that change how the library adds, as it found them, sorted: e.g. `TF_ENABLE_ONEDNN_OPTS=1`. */
  flags: z.array(z.string()),
});
export type Arithmetic = z.infer<typeof Arithmetic>;

/** Committed by the first step of a run that computes with the model: all others are to be of the same. */
export const ArithmeticManifest = z.strictObject({ kind: z.literal('arithmetic'), arithmetic: Arithmetic });
export type ArithmeticManifest = z.infer<typeof ArithmeticManifest>;

/** Of a step's manifest; those stored before it was recorded lack it. */
export const computedIn = { arithmetic: Arithmetic.optional() };
