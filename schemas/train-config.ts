import { z } from 'zod';

/** Names become parts of S3 keys and workflow ids: no slash, no dot-dot, no blank. */
export const RunId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'must be 1 to 64 of letters, digits, - and _, starting with a letter or digit');

/** A clip range [1 - low, 1 + high] or an explicit interval around 1; null switches it off. */
const IntervalAroundOne = z
  .tuple([z.number().positive(), z.number().positive()])
  .refine(([low, high]) => low <= 1 && 1 <= high, 'must contain 1, the ratio of an unmoved policy, e.g. [0.8, 1.2]');

export const ModelConfig = z.strictObject({
  /** GGUF file or Hugging Face directory below the worker's models directory (SEEUPO_MODELS_DIR), e.g. `SmolLM2-135M-Instruct.gguf`. */
  path: z.string().min(1),
});

export const LoraConfig = z.strictObject({
  /** r: rank of the update B·A of every adapted matrix. */
  rank: z.int().positive().max(512).default(8),
  /** The update is scaled by alpha / rank. */
  alpha: z.number().positive().default(16),
});
export type LoraConfig = z.infer<typeof LoraConfig>;

export const OptimizerConfig = z.strictObject({
  learningRate: z.number().positive(),
  /** AdamW's decay rates of the first and second moment. */
  betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]).default([0.9, 0.95]),
  epsilon: z.number().positive().default(1e-8),
  /** Decoupled weight decay per step; 0 disables. */
  weightDecay: z.number().nonnegative().default(0),
  /** Gradients with a larger global L2 norm are scaled down to it; null disables. */
  maxGradientNorm: z.number().positive().nullable().default(1),
});
export type OptimizerConfig = z.infer<typeof OptimizerConfig>;

/** SeeUPO, arXiv 2602.06554 section 4; the defaults are the paper's objective. */
export const SeeupoConfig = z.strictObject({
  name: z.literal('seeupo'),
  /** Eq. 6 to 8 as printed: ratios against theta_k, running suffix product, no clamps. */
  objective: z.literal('paper').default('paper'),
  /** Order in which the turn pools are updated; `reverse` (T..1) is what the theorems need. */
  updateOrder: z.enum(['reverse', 'forward']).default('reverse'),
  /** What advantages are normalised by, Eq. 9: the whole batch, each group (biased), or nothing. */
  normalization: z.enum(['batch', 'group', 'none']).default('batch'),
  /** Eq. 6: a ratio below 1 - low or above 1 + high earns nothing more in its favoured direction. */
  clip: z.strictObject({ low: z.number().positive().lt(1), high: z.number().positive() }).default({ low: 0.2, high: 0.2 }),
  /** Advantages are clamped to [-x, x]; null is the paper, 3 the authors' code. */
  advantageClip: z.number().positive().nullable().default(null),
  /** Clamp on each turn's ratio before it is multiplied into M, Eq. 8; null is the paper. */
  suffixRatioClip: IntervalAroundOne.nullable().default(null),
  /** Clamp on the running product of ratios; null is the paper. */
  suffixProductClip: IntervalAroundOne.nullable().default(null),
  /** beta: weight of the k3 divergence from the frozen reference; 0 disables. */
  klCoefficient: z.number().nonnegative().default(0.002),
  /**
   * Leave groups whose rewards are all equal out of the update: their advantage is 0, so only their
   * KL term is lost, and the passes through the model that it would cost. The paper keeps them.
   */
  skipGroupsWithoutVariance: z.boolean().default(false),
  /** Passes over a turn's pool. */
  epochs: z.int().positive().default(1),
  /** Optimiser steps per pass: the pool's tasks are dealt over so many minibatches. */
  minibatches: z.int().positive().default(1),
});
export type SeeupoConfig = z.infer<typeof SeeupoConfig>;

/** Supervised fine-tuning on other tasks' ground truth before RL; its adapter is folded into the frozen weights. */
export const WarmStartConfig = z.strictObject({
  epochs: z.int().positive().default(1),
  /** Conversations per optimiser step. */
  batchSize: z.int().positive().default(4),
  /** Longer conversations are cut at the last whole turn within so many tokens. */
  maxTokens: z.int().positive().default(450),
  optimizer: OptimizerConfig,
  /** Steps of linear warm-up from 0; after it the rate falls linearly to `finalRate` of its peak. */
  warmUpSteps: z.int().nonnegative().default(4),
  finalRate: z.number().min(0).max(1).default(0.1),
});

/** Everything that decides a run's numbers: the input of the `train` workflow. Unknown keys are refused. */
export const TrainConfig = z
  .strictObject({
    /** One line for the Web UI and the report. */
    title: z.string().max(200).default(''),
    /** Every random number derives from it. */
    seed: z.int().nonnegative(),
    /** K: training iterations. */
    iterations: z.int().nonnegative().max(100_000),
    model: ModelConfig,
    environment: z.strictObject({
      /** A name of the registry in activities/environments/registry.ts. */
      name: z.string().min(1),
      /** A named set of training tasks of that environment. */
      taskSet: z.string().min(1).default('quickstart'),
    }),
    rollout: z.strictObject({
      /** G: trajectories per task; an advantage needs at least 2. */
      groupSize: z.int().min(2, 'must be at least 2: with one sample the group mean is the sample and every advantage is 0'),
      /** B: tasks per iteration, drawn without replacement by the seed; null is all of them. */
      tasksPerIteration: z.int().positive().nullable().default(null),
      /** Tasks whose episodes one activity plays together; the unit of retry. */
      tasksPerShard: z.int().positive().default(8),
      temperature: z.number().positive().default(0.9),
      /** Sampled tokens per response at most, the end-of-turn token included. */
      maxResponseTokens: z.int().positive(),
      /** T at most; longer tasks are refused rather than cut. */
      maxTurns: z.int().positive(),
    }),
    lora: LoraConfig.prefault({}),
    warmStart: WarmStartConfig.nullable().default(null),
    algorithm: z.discriminatedUnion('name', [SeeupoConfig]),
    optimizer: OptimizerConfig,
    evaluation: z.strictObject({
      /** Every so many iterations; null evaluates only before and after training. */
      everyIterations: z.int().positive().nullable().default(null),
      samplesPerTask: z.int().positive().default(8),
      /** Of held-out tasks; null is samplesPerTask. */
      heldoutSamplesPerTask: z.int().positive().nullable().default(null),
      /** Sampling temperature of evaluations; null is the rollout's. */
      temperature: z.number().positive().nullable().default(null),
    }),
    /** Token rows that go through the model at once in training; bounds memory, does not change results. */
    microBatchTokens: z.int().positive().default(2048),
  })
  .superRefine((config, context) => {
    const { rollout, algorithm } = config;
    if (rollout.tasksPerIteration !== null && algorithm.minibatches > rollout.tasksPerIteration) {
      context.addIssue({
        code: 'custom',
        path: ['algorithm', 'minibatches'],
        message: `is ${algorithm.minibatches}, but an iteration has only rollout.tasksPerIteration = ${rollout.tasksPerIteration} tasks to deal over them: lower it`,
      });
    }
  });
export type TrainConfig = z.infer<typeof TrainConfig>;
/** As a person writes it: fields with defaults may be left out. */
export type TrainConfigInput = z.input<typeof TrainConfig>;
