import { z } from 'zod';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { TurnUpdateMetrics } from './metrics.js';
import { Split } from './task.js';
import { EpisodeEnd, ResponseEnd } from './trajectory.js';
import { RunId, TrainConfig } from './train-config.js';

/** Commit of the report: the page and its JSON twin. */
export const ReportManifest = z.strictObject({
  kind: z.literal('report'),
  inputHash: Sha256,
  completedIterations: z.int().nonnegative(),
  html: ArtifactRef,
  /** JSON of ReportContent. */
  json: ArtifactRef,
});
export type ReportManifest = z.infer<typeof ReportManifest>;

/** The three policies that the report compares. */
export const StageName = z.enum(['untouched', 'start', 'end']);
export type StageName = z.infer<typeof StageName>;

/** One policy measured on one split. */
export const Stage = z.strictObject({
  stage: StageName,
  /** E.g. `after the warm start`. */
  label: z.string(),
  split: Split,
  tasks: z.int().nonnegative(),
  trajectories: z.int().nonnegative(),
  temperature: z.number(),
  meanReward: z.number(),
  /** Of meanReward by resampling answers to these tasks; null with fewer than 2 samples of a task. */
  standardError: z.number().nullable(),
  successRate: z.number(),
  turnPassRate: z.array(z.number()),
});
export type Stage = z.infer<typeof Stage>;

/** What changed between two stages on one split. */
export const Gain = z.strictObject({
  split: Split,
  meanReward: z.number(),
  standardError: z.number().nullable(),
  /** |gain| > 2 standard errors; null if there is no estimate. */
  beyondNoise: z.boolean().nullable(),
  successRate: z.number(),
  turnPassRate: z.array(z.number()),
});
export type Gain = z.infer<typeof Gain>;

const TaskScore = z.strictObject({ meanReward: z.number(), successRate: z.number() });

export const TaskRow = z.strictObject({
  taskId: z.string(),
  split: Split,
  turns: z.int().positive(),
  untouched: TaskScore.nullable(),
  start: TaskScore.nullable(),
  end: TaskScore.nullable(),
});
export type TaskRow = z.infer<typeof TaskRow>;

export const IterationRow = z.strictObject({
  /** Counted from 1: iteration i is k = i - 1 in the keys. Its rollout is played by theta before its update. */
  iteration: z.int().positive(),
  meanReward: z.number(),
  successRate: z.number(),
  turnPassRate: z.array(z.number()),
  meanResponseTokens: z.number(),
  truncatedRate: z.number(),
  malformedCallRate: z.number(),
  trajectories: z.int(),
  groupsWithoutVariance: z.int(),
  behaviorGapMax: z.number(),
  seconds: z.number(),
  tokens: z.int(),
});
export type IterationRow = z.infer<typeof IterationRow>;

export const TurnUpdateRow = TurnUpdateMetrics.extend({ iteration: z.int().positive() });
export type TurnUpdateRow = z.infer<typeof TurnUpdateRow>;

/** A whole trajectory as a person reads it. */
export const ReadableEpisode = z.strictObject({
  split: Split,
  taskId: z.string(),
  sample: z.int().nonnegative(),
  reward: z.number(),
  success: z.boolean(),
  end: EpisodeEnd,
  taskTurns: z.int().positive(),
  turns: z.array(
    z.strictObject({
      turn: z.int().positive(),
      /** The prompt's text; null if it was not decoded. */
      prompt: z.string().nullable(),
      promptTokens: z.int(),
      response: z.string(),
      responseTokens: z.int(),
      responseEnd: ResponseEnd,
      /** The token that ended the response, where it is not the one that turns are closed with. */
      endedBy: z.string().optional(),
      calls: z.array(z.string()),
      observation: z.string(),
      passed: z.boolean().nullable(),
    }),
  ),
});
export type ReadableEpisode = z.infer<typeof ReadableEpisode>;

/** One of the few that the run's report shows. */
export const ReportEpisode = z.strictObject({
  ...ReadableEpisode.shape,
  heading: z.string(),
  /** By what rule it was chosen. */
  chosenAs: z.string(),
  stage: StageName,
});
export type ReportEpisode = z.infer<typeof ReportEpisode>;

/** Seconds of one kind of work, storage apart. */
export const TimeShare = z.strictObject({
  part: z.string(),
  seconds: z.number(),
  /** Of all parts together. */
  share: z.number(),
  tokens: z.int(),
});
export type TimeShare = z.infer<typeof TimeShare>;

/** Everything the report says, as plain values: the JSON twin of the page. */
export const ReportContent = z.strictObject({
  format: z.literal(1),
  runId: RunId,
  title: z.string(),
  verdict: z.string(),
  codeVersion: z.string(),
  model: z.strictObject({ path: z.string(), sha256: Sha256, bytes: z.int() }),
  config: TrainConfig,
  /** Settings that could not act, each as a sentence that says why. */
  inertSettings: z.array(z.string()).default([]),
  completedIterations: z.int().nonnegative(),
  stages: z.array(Stage),
  /** Start minus untouched: what the supervised warm start did, before any reinforcement learning. */
  warmStartGains: z.array(Gain),
  /** End minus start: what SeeUPO did. */
  seeupoGains: z.array(Gain),
  /** Mean reward of the last iterations' rollouts against the evaluation before training; null without either. */
  learning: z
    .strictObject({
      lastIterations: z.int().positive(),
      meanOfLast: z.number(),
      startReward: z.number(),
      rise: z.number(),
    })
    .nullable(),
  warmStart: z
    .strictObject({
      sequences: z.int(),
      tokens: z.int(),
      steps: z.int(),
      epochLosses: z.array(z.number()),
      seconds: z.number(),
    })
    .nullable(),
  tasks: z.array(TaskRow),
  iterations: z.array(IterationRow),
  turnUpdates: z.array(TurnUpdateRow),
  /** Evaluations during training, by iterations done. */
  midway: z.array(z.strictObject({ name: z.string(), split: Split, meanReward: z.number(), successRate: z.number() })),
  episodes: z.array(ReportEpisode),
  time: z.array(TimeShare),
  /** Sum of `time`. */
  workSeconds: z.number(),
  /** SHA-256 of the trained adapter's file; null if none was trained. */
  finalAdapterSha256: Sha256.nullable(),
});
export type ReportContent = z.infer<typeof ReportContent>;
