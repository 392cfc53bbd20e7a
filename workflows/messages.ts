import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { ArtifactRef } from '../schemas/artifact-ref.js';
import type { TrainInput } from '../schemas/run-request.js';
import type { EvaluatePolicyResult, IterationResult } from '../schemas/steps.js';

/** Pauses the run after the current step. The reason is shown in the Web UI. */
export const pause = defineSignal<[reason?: string]>('pause');
/** Continues after `pause`, or retries the failed step. */
export const resume = defineSignal('resume');
/** Ends training after the current iteration or turn, or skips the step that failed; then evaluates and reports. */
export const stop = defineSignal<[after?: StopAfter]>('stop');
/** Ends the run as failed. Checkpoints stay. */
export const abort = defineSignal<[reason?: string]>('abort');

/** Where `stop` takes effect. If an iteration is stopped between two turns, its completed turns stay committed. */
export type StopAfter = 'iteration' | 'turn';

/** The same four as updates: rejected if they make no sense now, else answered with a sentence. */
export const orderPause = defineUpdate<string, [reason: string | undefined]>('pause');
export const orderResume = defineUpdate<string>('resume');
export const orderStop = defineUpdate<string, [after: StopAfter | undefined]>('stop');
export const orderAbort = defineUpdate<string, [reason: string | undefined]>('abort');
/** Changes settings from the next iteration on; settings.ts lists which ones may change. */
export const changeSettings = defineUpdate<SettingsChanged, [change: SettingsChange]>('changeSettings');
/** Sets the number of iterations to `total`, which must be larger than K. */
export const extendIterations = defineUpdate<SettingsChanged, [total: number]>('extendIterations');
/** Evaluates theta before the next iteration, also while the run is paused. */
export const evaluateNow = defineUpdate<readonly EvaluationPoint[]>('evaluateNow');

/** Sent by a run to its iteration: end before the next turn. */
export const stopAfterTurn = defineSignal('stopAfterTurn');

/** A part of TrainConfig, e.g. `{"optimizer":{"learningRate":1e-4}}`. */
export type SettingsChange = Readonly<Record<string, unknown>>;
export interface SettingsChanged {
  /** The first iteration with these settings, counted from 1. */
  readonly fromIteration: number;
  readonly change: SettingsChange;
}

export const progress = defineQuery<TrainProgress>('progress');
export const metrics = defineQuery<TrainMetrics>('metrics');
export const config = defineQuery<TrainInput>('config');
/** Of an iteration's own workflow, `<run>/iteration-0012`. */
export const iterationProgress = defineQuery<IterationProgress>('progress');
/** Of the `evaluate` workflow. */
export const evaluationProgress = defineQuery<EvaluationProgress>('progress');

/** Names of the messages that a run handles. */
export const handledByRun = {
  signals: ['pause', 'resume', 'stop', 'abort'],
  updates: ['pause', 'resume', 'stop', 'abort', 'changeSettings', 'extendIterations', 'evaluateNow'],
} as const;

/** Shown by the Web UI beside each message. */
export const descriptions = {
  pause: 'Wait before the next step. Input: a reason, optional.',
  resume: 'Go on; after a failure, try the failed step again.',
  stop: 'End after this iteration (or without the step that failed), evaluate and report. Input: "turn" to end after its turn, optional.',
  abort: 'End the run as failed, at once. Checkpoints stay. Input: a reason, optional.',
  changeSettings:
    'Change settings from the next iteration on. Input: a part of the configuration, e.g. {"optimizer":{"learningRate":1e-4}}.',
  extendIterations: 'Go on for more iterations. Input: the new total.',
  evaluateNow: 'Evaluate the policy before the next iteration; answers with the result. Also while paused.',
  progress: 'Where the run stands.',
  metrics: 'Evaluations, and the last iterations.',
  config: 'The configuration as it was given.',
} as const;

export interface TrainProgress {
  readonly runId: string;
  /** Empty until the run is open. */
  readonly title: string;
  /** The current step, e.g. `evaluate start`, `iteration`, `report`. */
  readonly phase: string;
  /** Number of completed iterations. */
  readonly iteration: number;
  /** K; null until the run is open. */
  readonly iterations: number | null;
  /** Workflow id of the current iteration, whose `progress` query has the turn; null between iterations. */
  readonly child: string | null;
  /** The reason for the pause; null while the run is not paused. */
  readonly paused: string | null;
  readonly stopping: boolean;
  /** The latest changes of settings during the run. */
  readonly changes: readonly SettingsChanged[];
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Estimate from the latest iterations; null before the first is completed. */
  readonly secondsLeft: number | null;
  readonly latest: IterationPoint | null;
  /** Settings without effect in this combination, each as a sentence with the reason. */
  readonly inertSettings: readonly string[];
}

export interface IterationProgress {
  readonly iteration: number;
  readonly phase: 'rollout' | 'group' | 'score' | 'update turn' | 'commit';
  readonly turn: number | null;
  /** T of this iteration. */
  readonly turns: number | null;
}

export interface EvaluationProgress {
  readonly phase: 'open' | 'evaluate' | 'report' | 'done';
  /** Empty until the evaluation is open. */
  readonly title: string;
  readonly shardsDone: number;
  /** Total over all policies; null until the evaluation is open. */
  readonly shards: number | null;
  readonly episodes: number;
  /** Mean over the completed shards of each policy; null before the first. */
  readonly meanReward: readonly { readonly label: string; readonly value: number | null }[];
}

export type IterationPoint = Omit<IterationResult, 'policy' | 'checkpoint'> & {
  /** Elapsed seconds, including waiting; `seconds` is the sum over the steps. */
  readonly wallSeconds: number;
};
export type EvaluationPoint = Omit<EvaluatePolicyResult, 'manifest'>;

export interface TrainMetrics {
  readonly evaluations: readonly EvaluationPoint[];
  readonly iterations: readonly IterationPoint[];
  readonly checkpoint: ArtifactRef | null;
}
