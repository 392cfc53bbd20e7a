import type { CheckpointManifest, WarmStartManifest } from '../../schemas/checkpoint.js';
import type { EvaluationManifest } from '../../schemas/evaluation.js';
import type { IterationTiming, Timing } from '../../schemas/metrics.js';
import type { RunManifest } from '../../schemas/run.js';
import type { Split } from '../../schemas/task.js';
import type { Trajectory } from '../../schemas/trajectory.js';

/** An evaluation with its trajectories where they were read; the error estimate and the episodes need them. */
export interface EvaluationSource {
  readonly manifest: EvaluationManifest;
  readonly trajectories: readonly Trajectory[] | null;
}

/** Every manifest of a run that the report is drawn from. */
export interface ReportSources {
  readonly run: RunManifest;
  readonly warmStart: WarmStartManifest | null;
  readonly evaluations: readonly EvaluationSource[];
  /** k = 0..n-1. */
  readonly checkpoints: readonly CheckpointManifest[];
  /** How long each of them took. */
  readonly timings: {
    readonly warmStart: Timing | null;
    readonly evaluations: readonly Timing[];
    readonly checkpoints: readonly IterationTiming[];
  };
  /** Token ids to text; null shows trajectories without their prompts. */
  readonly decode: ((ids: readonly number[]) => string) | null;
}

export function findEvaluation(
  evaluations: readonly EvaluationSource[],
  name: string,
  split: Split,
): EvaluationSource | null {
  // Without held-out tasks an evaluation has no tasks and counts as missing.
  return evaluations.find(({ manifest: m }) => m.name === name && m.split === split && m.tasks.length > 0) ?? null;
}
