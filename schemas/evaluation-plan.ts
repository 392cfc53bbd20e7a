import { z } from 'zod';
import { computedIn } from './arithmetic.js';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { PolicySource, ResolvedEvaluation } from './evaluate-config.js';
import { IdentifiedModel } from './run.js';
import { Task } from './task.js';
import { LoraConfig, RunId } from './train-config.js';
import { EpisodeEnd } from './trajectory.js';
import { PolicyState } from './turn-state.js';

/** Weights as the evaluation plays them: a source, pinned by hashes. */
export const EvaluatedPolicy = z.strictObject({
  source: PolicySource,
  /** E.g. `run my-run after 10 iterations`. */
  label: z.string(),
  model: IdentifiedModel,
  lora: LoraConfig,
  state: PolicyState,
});
export type EvaluatedPolicy = z.infer<typeof EvaluatedPolicy>;

/** Committed by openEvaluation before anything is played: what `end` was, and which tasks there were, stays as it was then. */
export const EvaluationPlan = z.strictObject({
  kind: z.literal('evaluation-plan'),
  /** The workflow's id. */
  evaluationId: RunId,
  config: ResolvedEvaluation,
  /** `policy`, then `against` if there is one. */
  policies: z.array(EvaluatedPolicy).min(1).max(2),
  tasks: z.array(Task).min(1),
  code: z.strictObject({ version: z.string() }),
});
export type EvaluationPlan = z.infer<typeof EvaluationPlan>;

/** What one episode came to: all that the figures need of it. */
export const EpisodeOutcome = z.strictObject({
  taskId: z.string(),
  /** Counted from 0. */
  sample: z.int().nonnegative(),
  reward: z.number(),
  success: z.boolean(),
  end: EpisodeEnd,
  /** Per check of the verifier. */
  turnsPassed: z.array(z.boolean()),
  responses: z.int().positive(),
  sampledTokens: z.int(),
  /** Responses cut by the token limit. */
  truncated: z.int(),
});
export type EpisodeOutcome = z.infer<typeof EpisodeOutcome>;

/** Commit of some tasks' episodes under one policy. */
export const EvaluationShardManifest = z.strictObject({
  kind: z.literal('evaluation-shard'),
  inputHash: Sha256,
  ...computedIn,
  /** Index into the plan's policies. */
  policy: z.int().nonnegative(),
  shard: z.int().nonnegative(),
  outcomes: z.array(EpisodeOutcome),
  /** JSON array of Trajectory, in the order of `outcomes`. */
  trajectories: ArtifactRef,
});
export type EvaluationShardManifest = z.infer<typeof EvaluationShardManifest>;

/** What the `evaluate` workflow carries: nothing that grows. */
export const EvaluationRef = z.strictObject({
  evaluationId: RunId,
  plan: ArtifactRef,
  title: z.string(),
  labels: z.array(z.string()),
  tasks: z.int().positive(),
  samplesPerTask: z.int().positive(),
  /** Per policy. */
  shards: z.int().positive(),
  environment: z.string(),
  model: z.string(),
  /** Runs whose checkpoints are evaluated. */
  runs: z.array(RunId),
});
export type EvaluationRef = z.infer<typeof EvaluationRef>;
