import { z } from 'zod';
import { AlgorithmConfig } from './algorithm-config.js';
import { PlayConfig } from './play-config.js';
import { RetentionRule } from './retention-rule.js';

export {
  AlgorithmConfig,
  GrpoConfig,
  GspoConfig,
  PpoConfig,
  ReinforceConfig,
  SeeupoConfig,
} from './algorithm-config.js';

/**
 * Names become parts of S3 keys and workflow ids: no slash, no dot-dot, no blank. A schedule of Temporal appends the
 * time to its workflow id and cannot be told not to: `nightly-2026-11-28T13:39:47Z` is a name, too.
 */
export const RunId = z
  .string()
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9_:-]|\.(?!\.|$)){0,127}$/,
    'must be 1 to 128 of letters, digits, -, _, : and single dots, starting with a letter or digit',
  );

/** Where the episodes of a run or an evaluation are played. */
export const EnvironmentSettings = z.strictObject({
  name: z
    .string()
    .min(1)
    .meta({
      description:
        'Name of a built-in environment (activities/environments/registry.ts), or the path of a module below ' +
        'SEEUPO_ENVIRONMENTS_DIR of the worker.',
    }),
  taskSet: z.string().min(1).default('quickstart').meta({
    description: 'Name of a set of tasks of that environment.',
  }),
});

/** Names such as `my_exporter_mark` or `rope_scaling.my_mark`. */
export const AcceptSettings = z.array(z.string().min(1)).min(1);

export const ModelSettings = z.strictObject({
  path: z
    .string()
    .min(1)
    .meta({
      description:
        'The base model: a GGUF file or a Hugging Face directory below the models directory of the worker ' +
        '(SEEUPO_MODELS_DIR), or `hf://owner/name@revision`, which is downloaded once. Where the revision is a ' +
        'branch, the run stays with the commit that the branch pointed to at its start.',
    }),
  acceptSettings: AcceptSettings.optional().meta({
    description:
      "Keys of the model's config.json that this program does not know, and that you declare harmless: they do not " +
      'change the numbers of the model. Without this field, every unknown key is refused.',
  }),
});

export const LoraConfig = z.strictObject({
  rank: z.int().positive().max(512).default(8).meta({
    description: 'Rank r of the update B·A that LoRA adds to every adapted matrix.',
  }),
  alpha: z.number().positive().default(16).meta({
    description: 'Numerator of the scale of the LoRA update: it is multiplied by alpha / rank.',
  }),
});
export type LoraConfig = z.infer<typeof LoraConfig>;

export const OptimizerConfig = z.strictObject({
  learningRate: z.number().positive().meta({ description: 'Learning rate of AdamW; the peak rate where it varies.' }),
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .default([0.9, 0.95])
    .meta({ description: 'Decay rates of AdamW for the first and the second moment.' }),
  epsilon: z.number().positive().default(1e-8).meta({
    description: 'Added to the denominator of AdamW, so that it is never 0.',
  }),
  weightDecay: z.number().nonnegative().default(0).meta({
    description:
      'Decoupled weight decay: each optimiser step shrinks the weights by learningRate times this; 0 disables it.',
  }),
  maxGradientNorm: z.number().positive().nullable().default(1).meta({
    description: 'Gradients whose global L2 norm is larger are scaled down to this norm; null disables it.',
  }),
});
export type OptimizerConfig = z.infer<typeof OptimizerConfig>;

/** How the learning rate of RL moves: activities/turn-update/learning-rate.ts. */
export const ScheduleConfig = z.strictObject({
  shape: z
    .enum(['constant', 'linear', 'cosine'])
    .default('constant')
    .meta({
      description:
        'How the learning rate moves from its peak in the first iteration to finalRate of it in the last: along a ' +
        'line, along half a cosine, or not at all (`constant`).',
    }),
  warmUpSteps: z.int().nonnegative().default(0).meta({
    description: 'Number of optimiser steps in which the learning rate rises linearly from 0; 0 disables the warm-up.',
  }),
  finalRate: z.number().min(0).max(1).default(0).meta({
    description:
      'Share of the peak learning rate that is left in the last iteration, 0 to 1. Unused by shape `constant`.',
  }),
});
export const ScheduledOptimizerConfig = OptimizerConfig.extend({
  schedule: ScheduleConfig.prefault({}).meta({ description: 'How the learning rate changes during the run.' }),
});
export type ScheduledOptimizerConfig = z.infer<typeof ScheduledOptimizerConfig>;

/** Supervised fine-tuning on other tasks' ground truth before RL; its adapter is folded into the frozen weights. */
export const WarmStartConfig = z.strictObject({
  epochs: z.int().positive().default(1).meta({ description: 'Number of passes over the demonstrations.' }),
  batchSize: z.int().positive().default(4).meta({ description: 'Conversations per optimiser step.' }),
  maxTokens: z.int().positive().default(450).meta({
    description: 'Longest conversation in tokens; a longer one is cut after the last whole turn that fits.',
  }),
  optimizer: OptimizerConfig.meta({ description: 'AdamW for the supervised fine-tuning.' }),
  warmUpSteps: z.int().nonnegative().default(4).meta({
    description: 'Number of optimiser steps in which the learning rate rises linearly from 0; 0 disables the warm-up.',
  }),
  finalRate: z.number().min(0).max(1).default(0.1).meta({
    description: 'Share of the peak learning rate, 0 to 1, to which it falls linearly after the warm-up.',
  }),
});

/**
 * The watch over every turn's update. It is measured on the turn's own samples after the update: a surrogate (Eq. 6)
 * below the one before it, a divergence above the limit, or a loss, gradient or log-probability that is not finite.
 */
export const GuardConfig = z.strictObject({
  onViolation: z
    .enum(['warn', 'stop-epochs', 'reject'])
    .default('warn')
    .meta({
      description:
        'What happens when an update of a turn violates a limit of the guard. `warn`: it is recorded, and training ' +
        'goes on; a value that is not finite (NaN or Inf) pauses the run. `stop-epochs`: also, the turn takes no ' +
        'further optimiser step after the epoch in which it happened. `reject`: the weights and the moments of ' +
        'AdamW stay as they were before the turn, and its ratios are 1.',
    }),
  maxKl: z
    .number()
    .positive()
    .nullable()
    .default(0.1)
    .meta({
      description:
        'Largest KL(theta_k || theta) on the responses of a turn after its update, in nats per token (estimator ' +
        "k3); null disables this limit. For comparison: Spinning Up's PPO stops its epochs at 0.015, and 60 turn " +
        'updates of quickstart runs that learned reached 0.03 (mean of -log s). So the default only finds what is ' +
        'far from normal.',
    }),
  surrogateTolerance: z
    .number()
    .nonnegative()
    .nullable()
    .default(1e-6)
    .meta({
      description:
        'How far the surrogate may fall in an update, in its own units; null disables this limit. The default is ' +
        'what fp32 rounds away.',
    }),
});
export type GuardConfig = z.infer<typeof GuardConfig>;

/** Everything that decides a run's numbers: the input of the `train` workflow. Unknown keys are refused. */
export const TrainConfig = z
  .strictObject({
    title: z.string().max(200).default('').meta({
      description: 'One line that the Temporal Web UI and the report show; at most 200 characters.',
    }),
    seed: z.int().nonnegative().meta({ description: 'Every random number of the run is derived from this number.' }),
    iterations: z.int().nonnegative().max(100_000).meta({ description: 'K: number of training iterations.' }),
    model: ModelSettings.meta({ description: 'The model that is trained.' }),
    environment: EnvironmentSettings.meta({ description: 'Where episodes are played.' }),
    rollout: z
      .strictObject({
        groupSize: z
          .int()
          .min(2, 'must be at least 2: with one sample the group mean is the sample and every advantage is 0')
          .meta({ description: 'G: number of trajectories sampled per task in an iteration, at least 2.' }),
        tasksPerIteration: z
          .int()
          .positive()
          .nullable()
          .default(null)
          .meta({
            description:
              'B: number of tasks per iteration, drawn without replacement by the seed; null takes all tasks of the ' +
              'set.',
          }),
        tasksPerShard: z.int().positive().default(8).meta({
          description:
            'Number of tasks whose episodes one activity plays together. What fails is repeated in these units.',
        }),
        temperature: z.number().positive().default(0.9).meta({ description: 'Sampling temperature of the rollouts.' }),
        ...PlayConfig.shape,
      })
      .meta({ description: 'How the episodes that the policy learns from are sampled.' }),
    training: z
      .enum(['lora', 'full'])
      .default('lora')
      .meta({
        description:
          'Which weights RL changes. `lora`: an adapter on frozen weights. `full`: all weights, in fp32, with ' +
          'moments of twice their size, and with a frozen copy if klCoefficient is above 0.',
      }),
    lora: LoraConfig.prefault({}).meta({
      description: 'The adapter of training `lora`, and of the warm start.',
    }),
    update: z
      .strictObject({
        shards: z
          .int()
          .positive()
          .max(1_000)
          .default(1)
          .meta({
            description:
              'Number of activities over which the gradient of each optimiser step is spread, by whole tasks; with ' +
              '1, one worker computes it. The sum is taken in the order of the shards, so results depend on this ' +
              'number (by rounding), but not on the number of workers.',
          }),
      })
      .prefault({})
      .meta({ description: 'How the update of a turn is spread over workers.' }),
    warmStart: WarmStartConfig.nullable()
      .default(null)
      .meta({
        description:
          'Supervised fine-tuning on the solutions of other tasks before RL begins; its adapter is merged into the ' +
          'frozen weights. null begins RL with the model as it is.',
      }),
    algorithm: AlgorithmConfig.meta({
      description: 'The learning rule. Its name decides which other fields there are.',
    }),
    optimizer: ScheduledOptimizerConfig.meta({ description: 'AdamW for RL.' }),
    guard: GuardConfig.prefault({}).meta({
      description: 'Limits that are checked after the update of every turn, on the samples of that turn.',
    }),
    evaluation: z
      .strictObject({
        everyIterations: z.int().positive().nullable().default(null).meta({
          description: 'Number of iterations between evaluations; null evaluates only before and after training.',
        }),
        samplesPerTask: z.int().positive().default(8).meta({ description: 'Episodes per task in an evaluation.' }),
        heldoutSamplesPerTask: z.int().positive().nullable().default(null).meta({
          description: 'Episodes per held-out task in an evaluation; null takes samplesPerTask.',
        }),
        temperature: z.number().positive().nullable().default(null).meta({
          description: 'Sampling temperature of evaluations; null takes rollout.temperature.',
        }),
      })
      .meta({ description: 'Evaluations during the run, on training tasks and on held-out tasks.' }),
    retention: RetentionRule.nullable().default(null).meta({
      description: 'Which iterations stay in the store while the run goes on; null keeps all of them.',
    }),
    arithmetic: z
      .enum(['one', 'any'])
      .optional()
      .meta({
        description:
          'What the GPU workers of the run may compute in. `one`, which is the default: all of them in the ' +
          'arithmetic of the first step. `any`: precision, replicas, device and libraries may differ, and so do the ' +
          'results, by rounding. Every step records its own arithmetic.',
      }),
    microBatchTokens: z
      .int()
      .positive()
      .default(2048)
      .meta({
        description:
          'Number of token rows that go through the model at once in training. It limits memory and does not change ' +
          'results.',
      }),
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
    if (config.update.shards > 1 && ('valueCoefficient' in algorithm || config.guard.onViolation !== 'warn')) {
      context.addIssue({
        code: 'custom',
        path: ['update', 'shards'],
        message: `is ${config.update.shards}, but ${'valueCoefficient' in algorithm ? `${algorithm.name}'s value head is` : `guard.onViolation "${config.guard.onViolation}" is`} for one worker a turn: set it to 1`,
      });
    }
    if (config.update.shards > 1 && 'suffixRatio' in algorithm && algorithm.suffixRatio === 'exact') {
      context.addIssue({
        code: 'custom',
        path: ['update', 'shards'],
        message: `is ${config.update.shards}, but suffixRatio "exact" recomputes ratios over the whole pool: set it to 1, or choose suffixRatio "running"`,
      });
    }
    if ('updateOrder' in algorithm && Array.isArray(algorithm.updateOrder)) {
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
