import { z } from 'zod';
import { computedIn } from './arithmetic.js';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { RolloutMetrics } from './metrics.js';
import { Split } from './task.js';

/** One task's part of an evaluation. */
export const TaskEvaluation = z.strictObject({
  taskId: z.string(),
  split: Split,
  samples: z.int(),
  meanReward: z.number(),
  successRate: z.number(),
});
export type TaskEvaluation = z.infer<typeof TaskEvaluation>;

/** Commit of one evaluation of a policy on one split. */
export const EvaluationManifest = z.strictObject({
  kind: z.literal('evaluation'),
  inputHash: Sha256,
  ...computedIn,
  /** E.g. `untouched`, `start`, `iteration-0008`, `end`. */
  name: z.string(),
  split: Split,
  /** k: the policy is theta_k. */
  iterationsDone: z.int().nonnegative(),
  temperature: z.number(),
  metrics: RolloutMetrics,
  tasks: z.array(TaskEvaluation),
  /** JSON array of Trajectory. */
  trajectories: ArtifactRef,
});
export type EvaluationManifest = z.infer<typeof EvaluationManifest>;
