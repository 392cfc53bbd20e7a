import { z } from 'zod';
import { PlayConfig } from './play-config.js';
import { AcceptSettings, EnvironmentSettings, RunId } from './train-config.js';
import { Split } from './task.js';

const ITERATION = 'must be a whole number from 1, "untouched", "start" or "end"';

/** Weights to evaluate: those of a run at some point of it, or a model as it is. */
export const PolicySource = z
  .strictObject({
    run: RunId.optional().meta({ description: 'A run in the store, whose weights after `iteration` are meant.' }),
    iteration: z
      .union([z.int().positive(ITERATION), z.enum(['untouched', 'start', 'end'])], { error: ITERATION })
      .optional()
      .meta({
        description:
          'With `run`: which weights of the run. A number from 1: after so many iterations. `end`: after the last ' +
          'iteration that is committed when the evaluation is opened. `start`: what RL began from. `untouched`: the ' +
          'model file.',
      }),
    model: z
      .string()
      .min(1)
      .optional()
      .meta({
        description:
          'Instead of a run: a GGUF file or a Hugging Face directory below the models directory of the worker ' +
          '(SEEUPO_MODELS_DIR).',
      }),
    acceptSettings: AcceptSettings.optional().meta({
      description: 'With `model`: as model.acceptSettings of a run. A run brings its own.',
    }),
  })
  .superRefine(({ run, iteration, model, acceptSettings }, context) => {
    const issue = (message: string) => context.addIssue({ code: 'custom', message });
    const example = 'e.g. {"run": "my-run", "iteration": "end"} or {"model": "SmolLM2-135M-Instruct.gguf"}';
    if ((run === undefined) === (model === undefined)) issue(`must name a run or a model, and not both: ${example}`);
    else if (acceptSettings !== undefined && model === undefined)
      issue('has acceptSettings, which goes with a model: a run brings its own');
    else if ((run === undefined) !== (iteration === undefined))
      issue(`must give run and iteration together: ${example}`);
  });
export type PolicySource = z.infer<typeof PolicySource>;

/** The text of a field of a run that an evaluation may set otherwise; a model has the default that a run has. */
const asInTheRun = (field: keyof typeof PlayConfig.shape) => ({
  description: `${PlayConfig.shape[field].meta()?.description ?? field} Left out: as in the run, if one is evaluated.`,
});

/**
 * The input of the `evaluate` workflow. What is left out without a default is as in the configuration of the run whose
 * checkpoint is evaluated; for a model it must be given. Unknown keys are refused.
 */
export const EvaluateConfig = z.strictObject({
  title: z.string().max(200).default('').meta({
    description: 'One line that the Temporal Web UI and the report show; at most 200 characters.',
  }),
  policy: PolicySource.meta({ description: 'The weights to evaluate: those of a run, or a model as it is.' }),
  against: PolicySource.nullable()
    .default(null)
    .meta({
      description:
        'A second policy that `policy` is compared with. It plays the same tasks with the same random numbers; null ' +
        'compares with none.',
    }),
  environment: EnvironmentSettings.optional().meta({
    description: 'Where episodes are played. Left out: the environment of the run; a model needs it.',
  }),
  split: z
    .union([Split, z.literal('both')], { error: 'must be "train", "heldout" or "both"' })
    .default('heldout')
    .meta({ description: 'Which tasks of the set are played: training tasks, held-out tasks, or both.' }),
  maxTasks: z.int().positive().nullable().default(null).meta({
    description: 'Largest number of tasks; the first ones of the set are taken. null takes all of them.',
  }),
  samplesPerTask: z.int().positive().max(1000).default(4).meta({
    description: 'n: episodes per task. The paper takes 4.',
  }),
  temperature: z.number().positive().optional().meta({
    description: "Sampling temperature. Left out: that of the run's evaluations; a model needs it.",
  }),
  maxResponseTokens: PlayConfig.shape.maxResponseTokens.optional().meta({
    description:
      'Largest number of tokens sampled per response, the end-of-turn token included. Left out: as in the run; a ' +
      'model needs it.',
  }),
  maxTurns: PlayConfig.shape.maxTurns.optional().meta({
    description:
      'Largest number of responses per episode; an episode that needs more ends there. Left out: as in the run; a ' +
      'model needs it.',
  }),
  maxPromptTokens: PlayConfig.shape.maxPromptTokens.unwrap().optional().meta(asInTheRun('maxPromptTokens')),
  templateArguments: PlayConfig.shape.templateArguments.meta({
    description:
      'What the chat template gets besides the messages, e.g. {"enable_thinking": false}. Left out: as in the run, ' +
      'if one is evaluated, else nothing.',
  }),
  templateDate: PlayConfig.shape.templateDate.meta({
    description:
      'The date and time that the function strftime_now of the chat template shows, e.g. 2026-11-28T15:30:00. Left ' +
      'out: as in the run; for a model the time when the evaluation was opened (UTC), if the template asks for it.',
  }),
  history: PlayConfig.shape.history.unwrap().optional().meta(asInTheRun('history')),
  maxObservationTokens: PlayConfig.shape.maxObservationTokens
    .unwrap()
    .optional()
    .meta(asInTheRun('maxObservationTokens')),
  truncatedResponse: PlayConfig.shape.truncatedResponse.unwrap().optional().meta(asInTheRun('truncatedResponse')),
  cutEpisodeReward: PlayConfig.shape.cutEpisodeReward.unwrap().optional().meta(asInTheRun('cutEpisodeReward')),
  tasksPerShard: z.int().positive().default(8).meta({
    description: 'Number of tasks whose episodes one activity plays together. What fails is repeated in these units.',
  }),
  seed: z.int().nonnegative().default(1).meta({
    description: 'Every random number of the evaluation is derived from this number, those of the bootstrap included.',
  }),
  confidence: z.number().min(0.5).max(0.999).default(0.95).meta({
    description: 'Confidence level of the intervals, 0.5 to 0.999.',
  }),
  resamples: z.int().min(100).max(100_000).default(2000).meta({
    description: 'Number of resamples of tasks, or of sign flips, by which a comparison is judged.',
  }),
});
export type EvaluateConfig = z.infer<typeof EvaluateConfig>;
/** As a person writes it. */
export type EvaluateConfigInput = z.input<typeof EvaluateConfig>;

/** With everything said. */
export const ResolvedEvaluation = z.strictObject({
  ...EvaluateConfig.shape,
  environment: EvaluateConfig.shape.environment.unwrap(),
  temperature: EvaluateConfig.shape.temperature.unwrap(),
  ...PlayConfig.shape,
});
export type ResolvedEvaluation = z.infer<typeof ResolvedEvaluation>;
