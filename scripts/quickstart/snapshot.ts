import type { IterationProgress, TrainMetrics, TrainProgress } from '../../workflows/messages.js';

/** An activity under way, by its last heartbeat. */
export interface PendingStep {
  readonly activity: string;
  readonly attempt: number;
  /** Of the heartbeat; null before the first. */
  readonly work: { readonly phase: string; readonly done: number; readonly of: number } | null;
  /** Message of the attempt before; null on the first. */
  readonly lastFailure: string | null;
}

/** Where a run stands, as far as it could be learned within a moment. */
export interface Snapshot {
  readonly status: string;
  /** Null while no control worker answers. */
  readonly progress: TrainProgress | null;
  readonly iteration: IterationProgress | null;
  readonly metrics: TrainMetrics | null;
  readonly steps: readonly PendingStep[];
}
