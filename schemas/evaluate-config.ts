import { z } from 'zod';
import { PlayConfig } from './play-config.js';
import { AcceptSettings, RunId } from './train-config.js';
import { Split } from './task.js';

const ITERATION = 'must be a whole number from 1, "untouched", "start" or "end"';

/** Weights to evaluate: those of a run at some point of it, or a model as it is. */
export const PolicySource = z
  .strictObject({
    /** A run in the store, with `iteration`. */
    run: RunId.optional(),
    /**
     * After so many iterations, from 1; `end` is the last one that is committed when the evaluation is opened, `start`
     * what reinforcement learning began from, `untouched` the model file.
     */
    iteration: z
      .union([z.int().positive(ITERATION), z.enum(['untouched', 'start', 'end'])], { error: ITERATION })
      .optional(),
    /** Instead of a run: GGUF file or Hugging Face directory below the worker's models directory (SEEUPO_MODELS_DIR). */
    model: z.string().min(1).optional(),
    /** With `model`: as model.acceptSettings of a run, which brings its own. */
    acceptSettings: AcceptSettings.optional(),
  })
  .superRefine(({ run, iteration, model, acceptSettings }, context) => {
    const issue = (message: string) => context.addIssue({ code: 'custom', message });
    const example = 'e.g. {"run": "my-run", "iteration": "end"} or {"model": "SmolLM2-135M-Instruct.gguf"}';
    if ((run === undefined) === (model === undefined)) issue(`must name a run or a model, and not both: ${example}`);
    else if (acceptSettings !== undefined && model === undefined) issue('has acceptSettings, which goes with a model: a run brings its own');
    else if ((run === undefined) !== (iteration === undefined)) issue(`must give run and iteration together: ${example}`);
  });
export type PolicySource = z.infer<typeof PolicySource>;

/**
 * The input of the `evaluate` workflow. What is left out without a default is as in the configuration of the run whose
 * checkpoint is evaluated; for a model it must be given. Unknown keys are refused.
 */
export const EvaluateConfig = z.strictObject({
  /** One line for the Web UI and the report. */
  title: z.string().max(200).default(''),
  policy: PolicySource,
  /** A second policy, played on the same tasks with the same random numbers, that `policy` is compared with; null compares with none. */
  against: PolicySource.nullable().default(null),
  environment: z.strictObject({ name: z.string().min(1), taskSet: z.string().min(1).default('quickstart') }).optional(),
  /** Which tasks of the set. */
  split: z.union([Split, z.literal('both')], { error: 'must be "train", "heldout" or "both"' }).default('heldout'),
  /** At most so many of them, the first ones; null is all. */
  maxTasks: z.int().positive().nullable().default(null),
  /** n: episodes per task; the paper's is 4. */
  samplesPerTask: z.int().positive().max(1000).default(4),
  temperature: z.number().positive().optional(),
  maxResponseTokens: PlayConfig.shape.maxResponseTokens.optional(),
  /** Responses per episode at most; an episode that needs more ends there. */
  maxTurns: PlayConfig.shape.maxTurns.optional(),
  maxPromptTokens: PlayConfig.shape.maxPromptTokens.unwrap().optional(),
  templateArguments: PlayConfig.shape.templateArguments,
  templateDate: PlayConfig.shape.templateDate,
  history: PlayConfig.shape.history.unwrap().optional(),
  maxObservationTokens: PlayConfig.shape.maxObservationTokens.unwrap().optional(),
  truncatedResponse: PlayConfig.shape.truncatedResponse.unwrap().optional(),
  cutEpisodeReward: PlayConfig.shape.cutEpisodeReward.unwrap().optional(),
  /** Tasks whose episodes one activity plays together; the unit of retry. */
  tasksPerShard: z.int().positive().default(8),
  /** Every random number derives from it, the bootstrap's included. */
  seed: z.int().nonnegative().default(1),
  /** Of the intervals. */
  confidence: z.number().min(0.5).max(0.999).default(0.95),
  /** Resamples of tasks, or sign flips, that a comparison is judged by. */
  resamples: z.int().min(100).max(100_000).default(2000),
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
