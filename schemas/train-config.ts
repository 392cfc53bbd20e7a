import { z } from 'zod';
import { AlgorithmConfig } from './algorithm-config.js';
import { PlayConfig } from './play-config.js';
import { RetentionRule } from './retention-rule.js';

export { AlgorithmConfig, GrpoConfig, GspoConfig, PpoConfig, ReinforceConfig, SeeupoConfig } from './algorithm-config.js';

/**
 * Names become parts of S3 keys and workflow ids: no slash, no dot-dot, no blank. A schedule of Temporal appends the time to
 * its workflow id and cannot be told not to: `nightly-2026-11-28T13:39:47Z` is a name, too.
 */
export const RunId = z
  .string()
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9_:-]|\.(?!\.|$)){0,127}$/, 'must be 1 to 128 of letters, digits, -, _, : and single dots, starting with a letter or digit');

/** Names such as `my_exporter_mark` or `rope_scaling.my_mark`. */
export const AcceptSettings = z.array(z.string().min(1)).min(1);

export const ModelConfig = z.strictObject({
  /**
   * GGUF file or Hugging Face directory below the worker's models directory (SEEUPO_MODELS_DIR), e.g. `SmolLM2-135M-Instruct.gguf`; or
   * `hf://owner/name@revision`, downloaded once. A run keeps the commit that a branch pointed to at its start.
   */
  path: z.string().min(1),
  /** Keys of config.json, not known here, that a person answers for: they do not change the model's numbers. */
  acceptSettings: AcceptSettings.optional(),
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

/** How the learning rate of RL moves: activities/turn-update/learning-rate.ts. */
export const ScheduleConfig = z.strictObject({
  /** From the peak in the first iteration to `finalRate` of it in the last, on a line or half a cosine; or constant. */
  shape: z.enum(['constant', 'linear', 'cosine']).default('constant'),
  /** Optimiser steps of linear warm-up from 0; 0 disables. */
  warmUpSteps: z.int().nonnegative().default(0),
  /** Share of the peak that is left in the last iteration. */
  finalRate: z.number().min(0).max(1).default(0),
});
export const ScheduledOptimizerConfig = OptimizerConfig.extend({ schedule: ScheduleConfig.prefault({}) });
export type ScheduledOptimizerConfig = z.infer<typeof ScheduledOptimizerConfig>;

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

/**
 * The watch over every turn's update. It is measured on the turn's own samples after the update: a surrogate (Eq. 6) below the one
 * before it, a divergence above the limit, or a loss, gradient or log-probability that is no number.
 */
export const GuardConfig = z.strictObject({
  /**
   * What follows. `warn`: it is recorded and training goes on; what is no number pauses the run. `stop-epochs`: besides, the turn takes no
   * further step after the epoch in which it shows. `reject`: theta and its moments stay as the turn found them, and its ratios are 1.
   */
  onViolation: z.enum(['warn', 'stop-epochs', 'reject']).default('warn'),
  /**
   * Largest KL(theta_k || theta) of a turn's responses, nats per token (k3); null disables. Spinning Up's PPO stops its epochs at 0.015; sixty turn
   * updates of quickstart runs that learned moved theta by up to 0.03 (mean of -log s), so the default only finds what is far from that.
   */
  maxKl: z.number().positive().nullable().default(0.1),
  /** The surrogate may fall by so much, in its own units: what fp32 rounds away; null disables. */
  surrogateTolerance: z.number().nonnegative().nullable().default(1e-6),
});
export type GuardConfig = z.infer<typeof GuardConfig>;

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
      ...PlayConfig.shape,
    }),
    /** What RL moves: an adapter on frozen weights, or all weights in fp32, with moments of twice their size and a frozen copy if klCoefficient > 0. */
    training: z.enum(['lora', 'full']).default('lora'),
    /** The adapter of `training: lora`, and of the warm start. */
    lora: LoraConfig.prefault({}),
    update: z
      .strictObject({
        /**
         * Activities over which the gradient of each optimiser step is spread, by whole tasks; 1 is one worker a turn. The sum
         * is taken in the shards' order: results depend on this number (by rounding), not on how many workers there are.
         */
        shards: z.int().positive().max(1_000).default(1),
      })
      .prefault({}),
    warmStart: WarmStartConfig.nullable().default(null),
    algorithm: AlgorithmConfig,
    optimizer: ScheduledOptimizerConfig,
    guard: GuardConfig.prefault({}),
    evaluation: z.strictObject({
      /** Every so many iterations; null evaluates only before and after training. */
      everyIterations: z.int().positive().nullable().default(null),
      samplesPerTask: z.int().positive().default(8),
      /** Of held-out tasks; null is samplesPerTask. */
      heldoutSamplesPerTask: z.int().positive().nullable().default(null),
      /** Sampling temperature of evaluations; null is the rollout's. */
      temperature: z.number().positive().nullable().default(null),
    }),
    /** Which iterations stay in the store while the run goes on; null keeps all. */
    retention: RetentionRule.nullable().default(null),
    /**
     * What its GPU workers may compute in: all of them in the arithmetic of the first step (`one`, which is meant where it is left out), or in
     * `any`: other precisions, replicas, devices or libraries, whose numbers differ by rounding. Every step records its own.
     */
    arithmetic: z.enum(['one', 'any']).optional(),
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
    if (config.update.shards > 1 && config.training === 'full') {
      context.addIssue({
        code: 'custom',
        path: ['update', 'shards'],
        message: `is ${config.update.shards}, but training "full" keeps its gradient on one worker: set it to 1, or choose training "lora"`,
      });
    }
    if (config.update.shards > 1 && (algorithm.name === 'ppo' || config.guard.onViolation !== 'warn')) {
      context.addIssue({
        code: 'custom',
        path: ['update', 'shards'],
        message: `is ${config.update.shards}, but ${algorithm.name === 'ppo' ? "ppo's value head is" : `guard.onViolation "${config.guard.onViolation}" is`} for one worker a turn: set it to 1`,
      });
    }
    if (config.update.shards > 1 && algorithm.name === 'seeupo' && algorithm.suffixRatio === 'exact') {
      context.addIssue({
        code: 'custom',
        path: ['update', 'shards'],
        message: `is ${config.update.shards}, but suffixRatio "exact" recomputes ratios over the whole pool: set it to 1, or choose suffixRatio "running"`,
      });
    }
    if (algorithm.name === 'seeupo' && Array.isArray(algorithm.updateOrder)) {
      const listed = [...algorithm.updateOrder].sort((a, b) => a - b);
      if (listed.length !== rollout.maxTurns || listed.some((turn, index) => turn !== index + 1)) {
        context.addIssue({
          code: 'custom',
          path: ['algorithm', 'updateOrder'],
          message: `is [${algorithm.updateOrder.join(', ')}], but must name each turn from 1 to rollout.maxTurns = ${rollout.maxTurns} once`,
        });
      }
    }
  });
export type TrainConfig = z.infer<typeof TrainConfig>;
/** As a person writes it: fields with defaults may be left out. */
export type TrainConfigInput = z.input<typeof TrainConfig>;
