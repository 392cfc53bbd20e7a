import { z } from 'zod';
import { PlayConfig } from './play-config.js';
import { RetentionRule } from './retention-rule.js';

/** Names become parts of S3 keys and workflow ids: no slash, no dot-dot, no blank. */
export const RunId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'must be 1 to 64 of letters, digits, - and _, starting with a letter or digit');

/** A clip range [1 - low, 1 + high] or an explicit interval around 1; null switches it off. */
const IntervalAroundOne = z
  .tuple([z.number().positive(), z.number().positive()])
  .refine(([low, high]) => low <= 1 && 1 <= high, 'must contain 1, the ratio of an unmoved policy, e.g. [0.8, 1.2]');

export const ModelConfig = z.strictObject({
  /**
   * GGUF file or Hugging Face directory below the worker's models directory (SEEUPO_MODELS_DIR), e.g. `SmolLM2-135M-Instruct.gguf`; or
   * `hf://owner/name@revision`, downloaded once. A run keeps the commit that a branch pointed to at its start.
   */
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

const Clip = z.strictObject({ low: z.number().positive().lt(1), high: z.number().positive() });
const NORMALIZATIONS = ['batch', 'group', 'none'] as const;

/** Settings that every algorithm has: rewards, the divergence from the frozen reference, passes and steps. */
const common = {
  /** What advantages are learned from: the reward R, or the authors' 1 + 0.5 R where R >= 1 and 0.5 R elsewhere. */
  rewardShaping: z.enum(['none', 'magnified']).optional(),
  /** Advantages are clamped to [-x, x]; null is the paper, 3 the authors' code. */
  advantageClip: z.number().positive().nullable().optional(),
  /**
   * Estimate of the divergence per token, d = log pi_ref - log pi_theta: k1 = -d (as a loss its expected
   * gradient is 0 on-policy), k2 = d^2 / 2, k3 = exp(d) - d - 1; `none` switches it off.
   */
  klEstimator: z.enum(['k1', 'k2', 'k3', 'none']).default('k3'),
  /** beta: weight of the divergence from the frozen reference; 0 disables. */
  klCoefficient: z.number().nonnegative().optional(),
  /**
   * Leave groups whose rewards are all equal out of the update: their advantage is 0, so only their
   * KL term is lost, and the passes through the model that it would cost. The paper keeps them.
   */
  skipGroupsWithoutVariance: z.boolean().optional(),
  /** Passes over a pool. */
  epochs: z.int().positive().default(1),
  /** Optimiser steps per pass: the pool's tasks are dealt over so many minibatches. */
  minibatches: z.int().positive().default(1),
};
const commonDefaults = { rewardShaping: 'none', advantageClip: null, skipGroupsWithoutVariance: false } as const;

/** Values given override the named set's; what is left out is spelled out. */
function resolved<Given extends { klEstimator: string; klCoefficient?: number | undefined }, Set extends object>(given: Given, set: Set) {
  const stated = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Given;
  const klCoefficient = given.klCoefficient ?? (given.klEstimator === 'none' ? 0 : 0.002);
  return { ...commonDefaults, ...set, ...stated, klCoefficient } as Resolved<Given>;
}
/** Every option stated: a named set says the value of each. */
type Resolved<Given> = { [Key in keyof Given]-?: Exclude<Given[Key], undefined> };

const klIsOneThing = ({ value, issues }: z.core.ParsePayload<{ klEstimator: string; klCoefficient?: number | undefined }>): void => {
  if (value.klEstimator !== 'none' || !value.klCoefficient) return;
  issues.push({ code: 'custom', input: value, path: ['klCoefficient'], message: `is ${value.klCoefficient}, but klEstimator is "none": set it to 0, or choose k3` });
};

const SEEUPO_OBJECTIVES = {
  paper: {
    ratioReference: 'iteration', suffixRatio: 'running', advantageStatistics: 'iteration',
    dualClip: null, suffixRatioClip: null, suffixProductClip: null,
  },
  authors: {
    ratioReference: 'turn', suffixRatio: 'running', advantageStatistics: 'turn-pool',
    dualClip: 3, suffixRatioClip: [0.8, 1.2], suffixProductClip: [0.8, 1.2], advantageClip: 3, rewardShaping: 'magnified',
  },
  'exact-suffix': {
    ratioReference: 'iteration', suffixRatio: 'exact', advantageStatistics: 'iteration',
    dualClip: null, suffixRatioClip: null, suffixProductClip: null,
  },
} as const;

/** SeeUPO, arXiv 2602.06554 section 4; the defaults are the paper's objective. */
export const SeeupoConfig = z
  .strictObject({
    name: z.literal('seeupo'),
    /**
     * A named set of the options below; an option that is given wins over it.
     * paper: Eq. 6 to 8 as printed. authors: as their published code. exact-suffix: Eq. 8's product
     * recomputed at the current theta before each turn, because turns share parameters.
     */
    objective: z.enum(['paper', 'authors', 'exact-suffix']).default('paper'),
    /** Order in which the turn pools are updated; `reverse` (T..1) is what the theorems need. A list names every turn up to rollout.maxTurns once. */
    updateOrder: z.union([z.enum(['reverse', 'forward', 'random']), z.array(z.int().positive()).min(1)]).default('reverse'),
    /** What advantages are normalised by, Eq. 9: the whole batch, each group (biased), or nothing. */
    normalization: z.enum(NORMALIZATIONS).default('batch'),
    /** Batch statistics over all trajectories of the iteration, or over the active ones of each turn pool (authors). */
    advantageStatistics: z.enum(['iteration', 'turn-pool']).optional(),
    /** Denominator of the ratios s and rho: theta_k (paper), or theta as it stood before the turn's update (authors). */
    ratioReference: z.enum(['iteration', 'turn']).optional(),
    /** Eq. 8's product as it accumulated, or recomputed at the current theta: T - t more forward passes per turn. */
    suffixRatio: z.enum(['running', 'exact']).optional(),
    /** Eq. 6: a ratio below 1 - low or above 1 + high earns nothing more in its favoured direction. */
    clip: Clip.default({ low: 0.2, high: 0.2 }),
    /** c: a term with negative M is at least c M, however large its ratio; null is the paper, 3 the authors' code. */
    dualClip: z.number().gt(1).nullable().optional(),
    /** Clamp on each turn's ratio before it is multiplied into M, Eq. 8; null is the paper, [0.8, 1.2] the authors' code. */
    suffixRatioClip: IntervalAroundOne.nullable().optional(),
    /** Clamp on the running product of ratios; null is the paper, [0.8, 1.2] the authors' code. */
    suffixProductClip: IntervalAroundOne.nullable().optional(),
    ...common,
  })
  .check(klIsOneThing)
  .superRefine(({ updateOrder, objective, suffixRatio }, context) => {
    if (updateOrder === 'random' && (suffixRatio ?? SEEUPO_OBJECTIVES[objective].suffixRatio) === 'exact') {
      context.addIssue({ code: 'custom', path: ['updateOrder'], message: 'is "random", which suffixRatio "exact" cannot follow yet: choose reverse, forward or a list' });
    }
  })
  .transform((given) => resolved(given, SEEUPO_OBJECTIVES[given.objective]));
export type SeeupoConfig = z.infer<typeof SeeupoConfig>;

/** REINFORCE with a group baseline, sequence level, all turns at once: loss -A log pi(y). No ratio, so no clip. */
export const ReinforceConfig = z
  .strictObject({
    name: z.literal('reinforce'),
    /** Baseline of a sample: the mean of the *others* of its group (RLOO), or of the whole group. */
    baseline: z.enum(['leave-one-out', 'group-mean']).default('leave-one-out'),
    normalization: z.enum(NORMALIZATIONS).default('none'),
    /** log pi(y): the sum over its tokens (the sequence's own), or their mean. */
    aggregation: z.enum(['token-sum', 'token-mean']).default('token-sum'),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}));
export type ReinforceConfig = z.infer<typeof ReinforceConfig>;

const GRPO_VARIANTS = {
  grpo: { normalization: 'group', aggregation: 'sequence-mean', clip: { low: 0.2, high: 0.2 } },
  'dr-grpo': { normalization: 'none', aggregation: 'constant', clip: { low: 0.2, high: 0.2 }, klCoefficient: 0 },
  dapo: { normalization: 'group', aggregation: 'token-mean', clip: { low: 0.2, high: 0.28 }, klCoefficient: 0, skipGroupsWithoutVariance: true },
} as const;

/** GRPO (arXiv 2402.03300): token-level ratios, group advantage, all turns at once. */
export const GrpoConfig = z
  .strictObject({
    name: z.literal('grpo'),
    /**
     * A named set of the options below; an option that is given wins. dr-grpo (arXiv 2503.20783): no division by
     * the deviation nor by the length. dapo (arXiv 2503.14476): higher upper clip, mean over tokens, groups without
     * variance left out (not sampled again), no KL; its shaping of overlong responses is not here.
     */
    variant: z.enum(['grpo', 'dr-grpo', 'dapo']).default('grpo'),
    normalization: z.enum(NORMALIZATIONS).optional(),
    /** Mean per response then over responses; over all tokens; or the sum over rollout.maxResponseTokens, then over responses. */
    aggregation: z.enum(['sequence-mean', 'token-mean', 'constant']).optional(),
    clip: Clip.optional(),
    /** c: a term with negative A is at least c A, however large its ratio; null disables. */
    dualClip: z.number().gt(1).nullable().default(null),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => {
    const set = { ...GRPO_VARIANTS[given.variant] };
    const klCoefficient = given.klCoefficient ?? ('klCoefficient' in set ? set.klCoefficient : undefined);
    return resolved({ ...given, klCoefficient }, set);
  });
export type GrpoConfig = z.infer<typeof GrpoConfig>;

/** GSPO (arXiv 2507.18071): SeeUPO's sequence ratio and clip, all turns at once, weighted by A alone. */
export const GspoConfig = z
  .strictObject({
    name: z.literal('gspo'),
    normalization: z.enum(NORMALIZATIONS).default('group'),
    /** The SeeUPO paper's; the GSPO paper's own experiments clip at 3e-4 and 4e-4. */
    clip: Clip.default({ low: 0.2, high: 0.2 }),
    /** c: a term with negative A is at least c A, however large its ratio; null disables. */
    dualClip: z.number().gt(1).nullable().default(null),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}));
export type GspoConfig = z.infer<typeof GspoConfig>;

/** Which rule makes theta_{k+1} of theta_k and its rollouts. */
export const AlgorithmConfig = z.discriminatedUnion('name', [SeeupoConfig, ReinforceConfig, GrpoConfig, GspoConfig]);
export type AlgorithmConfig = z.infer<typeof AlgorithmConfig>;

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
