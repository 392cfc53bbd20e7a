import { z } from 'zod';
import { Arithmetic } from './arithmetic.js';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { ResolvedEvaluation } from './evaluate-config.js';
import { EvaluatedPolicy } from './evaluation-plan.js';
import { ReadableEpisode } from './report.js';
import { Split } from './task.js';
import { RunId } from './train-config.js';

/** A mean with the interval for other tasks of the kind that it is a mean over. */
export const Estimate = z.strictObject({
  value: z.number(),
  /** Null with one task, which says nothing of others. */
  interval: z.tuple([z.number(), z.number()]).nullable(),
});
export type Estimate = z.infer<typeof Estimate>;

/** Figures of one policy on some tasks. */
export const Figures = z.strictObject({
  tasks: z.int(),
  episodes: z.int(),
  /** avg@n: mean reward over tasks of the mean over n samples. */
  averageReward: Estimate,
  /** Task goal completion: share of episodes that solve the whole task, mean over tasks. */
  taskGoalCompletion: Estimate,
  /** pass@k of success, k = 1, 2, 4, ... and n. */
  passAtK: z.array(z.strictObject({ k: z.int().positive(), ...Estimate.shape })),
  /** Scenario goal completion, for task ids `<scenario>_<n>` as AppWorld's; null for others. */
  scenarioGoalCompletion: z.strictObject({ scenarios: z.int(), ...Estimate.shape }).nullable(),
});
export type Figures = z.infer<typeof Figures>;

/** `policy` minus `against` on the same tasks. */
export const PairedDifference = z.strictObject({
  value: z.number(),
  interval: z.tuple([z.number(), z.number()]).nullable(),
  /** Two-sided p-value of no difference; null with one task. */
  pValue: z.number().nullable(),
});
export type PairedDifference = z.infer<typeof PairedDifference>;

export const TaskOutcome = z.strictObject({
  taskId: z.string(),
  split: Split,
  turns: z.int().positive(),
  category: z.string(),
  /** By policy. */
  scores: z.array(z.strictObject({ averageReward: z.number(), successes: z.int(), samples: z.int() })),
});
export type TaskOutcome = z.infer<typeof TaskOutcome>;

const Slice = z.strictObject({ name: z.string(), figures: z.array(Figures) });

/** Everything the report of an evaluation says, as plain values: the JSON twin of the page. */
export const EvaluationContent = z.strictObject({
  format: z.literal(1),
  evaluationId: RunId,
  title: z.string(),
  verdict: z.string(),
  codeVersion: z.string(),
  config: ResolvedEvaluation,
  policies: z.array(EvaluatedPolicy),
  /** By policy, as everything below. */
  overall: z.array(Figures),
  byCategory: z.array(Slice),
  byTurns: z.array(Slice),
  ends: z.array(z.record(z.string(), z.int())),
  /** Means over responses, and the share of them that the token limit cut. */
  responses: z.array(z.strictObject({ perEpisode: z.number(), tokens: z.number(), truncatedRate: z.number() })),
  comparison: z
    .strictObject({ averageReward: PairedDifference, taskGoalCompletion: PairedDifference, tasks: z.int() })
    .nullable(),
  tasks: z.array(TaskOutcome),
  episodes: z.array(z.strictObject({ policy: z.int(), ...ReadableEpisode.shape })),
  /** Transcripts that the page has no room for; all are in `trajectories`. */
  episodesLeftOut: z.int(),
  /** JSON arrays of Trajectory, by policy then shard. */
  trajectories: z.array(z.array(ArtifactRef)),
  seconds: z.number(),
  tokens: z.int(),
  /** What the shards were computed in, each once: of two that are compared, one. */
  arithmetics: z.array(Arithmetic).default([]),
});
export type EvaluationContent = z.infer<typeof EvaluationContent>;

/** Commit of the report. */
export const EvaluationReportManifest = z.strictObject({
  kind: z.literal('evaluation-report'),
  inputHash: Sha256,
  html: ArtifactRef,
  json: ArtifactRef,
  overall: z.array(Figures),
  comparison: EvaluationContent.shape.comparison,
});
export type EvaluationReportManifest = z.infer<typeof EvaluationReportManifest>;
