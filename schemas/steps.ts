import { z } from 'zod';
import { ArtifactRef } from './artifact-ref.js';
import { EvaluationRef } from './evaluation-plan.js';
import { EvaluationReportManifest, Figures } from './evaluation-report.js';
import { RolloutMetrics, TurnUpdateMetrics } from './metrics.js';
import { Execution } from './ownership.js';
import { RunRef } from './run.js';
import { Split } from './task.js';
import { RunId } from './train-config.js';
import { PolicyState } from './turn-state.js';

/**
 * Input and output of every activity, in pipeline order. Outputs are a ref to the committed
 * manifest plus a summary of fixed size: nothing here grows with the model or the batch.
 */

/** The config is checked by the activity, not here: a bad one must give its own clear error. */
export const OpenRunInput = z.strictObject({
  /** TrainConfig, ResumeRequest or ForkRequest. */
  config: z.unknown(),
  /** Who asks; its workflow id is the run id of a new run. */
  execution: Execution,
});
export type OpenRunInput = z.infer<typeof OpenRunInput>;

export const ReviseSettingsInput = z.strictObject({
  /** As it is before the change. */
  run: RunRef,
  /** Counted from 1. */
  revision: z.int().positive(),
  /** k: the first iteration that the change acts on. */
  from: z.int().nonnegative(),
  /** A part of TrainConfig; checked by the activity, as a whole with the settings that it leaves. */
  change: z.record(z.string(), z.unknown()),
});
export type ReviseSettingsInput = z.infer<typeof ReviseSettingsInput>;

export const WarmStartInput = z.strictObject({ run: RunRef });
export type WarmStartInput = z.infer<typeof WarmStartInput>;
export const WarmStartResult = z.strictObject({
  manifest: ArtifactRef,
  policy: PolicyState,
  steps: z.int(),
  finalLoss: z.number(),
});
export type WarmStartResult = z.infer<typeof WarmStartResult>;

export const CollectRolloutsInput = z.strictObject({
  run: RunRef,
  iteration: z.int().nonnegative(),
  shard: z.int().nonnegative(),
  policy: PolicyState,
});
export const CollectRolloutsResult = z.strictObject({ manifest: ArtifactRef, metrics: RolloutMetrics });
export type CollectRolloutsResult = z.infer<typeof CollectRolloutsResult>;

export const GroupRolloutsInput = z.strictObject({
  run: RunRef,
  iteration: z.int().nonnegative(),
  /** Manifests of all shards, by shard. */
  shards: z.array(ArtifactRef).min(1),
});
export type GroupRolloutsInput = z.infer<typeof GroupRolloutsInput>;
export const GroupRolloutsResult = z.strictObject({
  manifest: ArtifactRef,
  /** T of this iteration. */
  turns: z.int().positive(),
  active: z.array(z.int()),
  groupsWithoutVariance: z.int(),
  metrics: RolloutMetrics,
});
export type GroupRolloutsResult = z.infer<typeof GroupRolloutsResult>;

export const ScoreTrajectoriesInput = z.strictObject({
  run: RunRef,
  iteration: z.int().nonnegative(),
  groups: ArtifactRef,
  /** theta_k. */
  policy: PolicyState,
});
export type ScoreTrajectoriesInput = z.infer<typeof ScoreTrajectoriesInput>;
export const ScoreTrajectoriesResult = z.strictObject({
  manifest: ArtifactRef,
  behaviorGap: z.strictObject({ max: z.number(), mean: z.number() }),
});
export type ScoreTrajectoriesResult = z.infer<typeof ScoreTrajectoriesResult>;

/**
 * Task queue of the worker that holds the weights of this result in memory: the next step goes to it first. Left out if
 * there is none.
 */
const StickyQueue = z.string().min(1).optional();

export const UpdateTurnInput = z.strictObject({
  run: RunRef,
  iteration: z.int().nonnegative(),
  turn: z.int().positive(),
  groups: ArtifactRef,
  scores: ArtifactRef,
  /** theta as the turn before in the order left it; theta_k for the first. */
  policy: PolicyState,
  /** Turns updated before this one, in their order: those whose ratios make M. */
  updatedBefore: z.array(z.int().positive()),
  /** Suffix products as the turn before left them; null for the first: M_{T+1} = A. */
  suffixProducts: ArtifactRef.nullable(),
});
export type UpdateTurnInput = z.infer<typeof UpdateTurnInput>;
export const UpdateTurnResult = z.strictObject({
  manifest: ArtifactRef,
  policy: PolicyState,
  suffixProducts: ArtifactRef,
  metrics: TurnUpdateMetrics,
  warm: StickyQueue,
});
export type UpdateTurnResult = z.infer<typeof UpdateTurnResult>;

/** A share of a turn's rows: whole tasks, so that their samples still share prefixes. */
const Share = { shard: z.int().nonnegative(), shards: z.int().positive() };
/** Theta after the optimiser steps of the turn so far. */
const Stepped = { stepped: PolicyState };

export const ComputeGradientInput = UpdateTurnInput.extend({ ...Share, ...Stepped, step: z.int().nonnegative() });
export type ComputeGradientInput = z.infer<typeof ComputeGradientInput>;
export const MeasureRatiosInput = UpdateTurnInput.extend({ ...Share, ...Stepped });
export type MeasureRatiosInput = z.infer<typeof MeasureRatiosInput>;
/** All that the next step needs to know of a shard's work. */
export const TurnPartResult = z.strictObject({ manifest: ArtifactRef });
export type TurnPartResult = z.infer<typeof TurnPartResult>;

export const ApplyGradientsInput = UpdateTurnInput.extend({
  ...Stepped,
  step: z.int().nonnegative(),
  /** Manifests of the shards' gradients, by shard: the order in which they are summed. */
  gradients: z.array(ArtifactRef).min(1),
});
export type ApplyGradientsInput = z.infer<typeof ApplyGradientsInput>;
export const ApplyGradientsResult = TurnPartResult.extend({ policy: PolicyState, warm: StickyQueue });
export type ApplyGradientsResult = z.infer<typeof ApplyGradientsResult>;

export const FinishTurnInput = UpdateTurnInput.extend({
  ...Stepped,
  /** Manifests of the optimiser steps in order, and of the shards' ratios by shard. */
  steps: z.array(ArtifactRef).min(1),
  ratios: z.array(ArtifactRef).min(1),
});
export type FinishTurnInput = z.infer<typeof FinishTurnInput>;

export const CommitCheckpointInput = z.strictObject({
  run: RunRef,
  iteration: z.int().nonnegative(),
  rollouts: z.array(ArtifactRef).min(1),
  groups: ArtifactRef,
  scores: ArtifactRef,
  /** Turn states in the order in which they were made; the last one is theta_{k+1}. */
  turnStates: z.array(ArtifactRef).min(1),
});
export type CommitCheckpointInput = z.infer<typeof CommitCheckpointInput>;
/** What the run's loop and the Web UI need of an iteration. */
export const IterationResult = z.strictObject({
  iteration: z.int().nonnegative(),
  checkpoint: ArtifactRef,
  policy: PolicyState,
  meanReward: z.number(),
  successRate: z.number(),
  turnPassRate: z.array(z.number()),
  groupsWithoutVariance: z.int(),
  klReference: z.number(),
  /** Turn updates that undid themselves, see GuardConfig, and how many of them were rejected. */
  violations: z.int(),
  rejections: z.int(),
  seconds: z.number(),
  tokens: z.int(),
});
export type IterationResult = z.infer<typeof IterationResult>;

export const EvaluatePolicyInput = z.strictObject({
  run: RunRef,
  /** E.g. `untouched`, `start`, `iteration-0008`, `end`: part of the key and of the random seed's domain. */
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/),
  split: Split,
  /** k: the policy is theta_k. */
  iterationsDone: z.int().nonnegative(),
  policy: PolicyState,
});
export const EvaluatePolicyResult = z.strictObject({
  manifest: ArtifactRef,
  name: z.string(),
  split: Split,
  meanReward: z.number(),
  successRate: z.number(),
  turnPassRate: z.array(z.number()),
});
export type EvaluatePolicyResult = z.infer<typeof EvaluatePolicyResult>;

/** How far a run has come, by what is committed of it. */
export const RunProgress = z.strictObject({
  /** Iterations done: theta is theta_k of this k. */
  iteration: z.int().nonnegative(),
  /** Whether something of iteration k is committed as well. */
  begun: z.boolean(),
  /** theta_k; null before the first iteration. */
  policy: PolicyState.nullable(),
  checkpoint: ArtifactRef.nullable(),
  /** The last iterations. */
  points: z.array(IterationResult.omit({ policy: true, checkpoint: true })),
  /** The first ones and the last ones. */
  evaluations: z.array(EvaluatePolicyResult.omit({ manifest: true })),
});
export type RunProgress = z.infer<typeof RunProgress>;

export const OpenRunResult = z.strictObject({
  /** As the next iteration finds it. */
  run: RunRef,
  /** As later ones do, if settings change in between. */
  next: z.strictObject({ from: z.int().nonnegative(), run: RunRef }).nullable(),
  progress: RunProgress,
  /** Changes made so far. */
  revisions: z.int().nonnegative(),
  /** Settings that cannot act in this combination, each as a sentence that says why. */
  inertSettings: z.array(z.string()),
});
export type OpenRunResult = z.infer<typeof OpenRunResult>;

/** iteration: the one just committed. */
export const ApplyRetentionInput = z.strictObject({ run: RunRef, iteration: z.int().nonnegative() });
export type ApplyRetentionInput = z.infer<typeof ApplyRetentionInput>;

export const ReleaseRunInput = z.strictObject({ run: RunRef });
export type ReleaseRunInput = z.infer<typeof ReleaseRunInput>;
/** The config is checked by the activity, as OpenRunInput's. */
export const OpenEvaluationInput = z.strictObject({ evaluationId: RunId, config: z.unknown() });
export type OpenEvaluationInput = z.infer<typeof OpenEvaluationInput>;

export const EvaluateShardInput = z.strictObject({
  evaluation: EvaluationRef,
  /** Index into the plan's policies. */
  policy: z.int().nonnegative(),
  shard: z.int().nonnegative(),
});
export const EvaluateShardResult = z.strictObject({ manifest: ArtifactRef, episodes: z.int(), meanReward: z.number() });
export type EvaluateShardResult = z.infer<typeof EvaluateShardResult>;

export const ReportEvaluationInput = z.strictObject({
  evaluation: EvaluationRef,
  /** Manifests of all shards, by policy then shard. */
  shards: z.array(z.array(ArtifactRef).min(1)).min(1),
});
export const ReportEvaluationResult = z.strictObject({
  /** The HTML page, one file, readable offline. */
  html: ArtifactRef,
  json: ArtifactRef,
  /** By policy. */
  overall: z.array(Figures),
  comparison: EvaluationReportManifest.shape.comparison,
});
export type ReportEvaluationResult = z.infer<typeof ReportEvaluationResult>;

export const WriteReportInput = z.strictObject({
  run: RunRef,
  /** The report covers checkpoints 0..completedIterations-1 and every evaluation committed so far. */
  completedIterations: z.int().nonnegative(),
});
export const WriteReportResult = z.strictObject({
  /** The HTML page, one file, readable offline. */
  html: ArtifactRef,
  json: ArtifactRef,
});
export type WriteReportResult = z.infer<typeof WriteReportResult>;
