import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { ArtifactRef } from '../schemas/artifact-ref.js';
import type { TrainInput } from '../schemas/run-request.js';
import type { EvaluatePolicyResult, IterationResult } from '../schemas/steps.js';

/** Stops the run before its next step; what is under way is finished. The reason is shown. */
export const pause = defineSignal<[reason?: string]>('pause');
/** Goes on after `pause`, or tries the failed step again. */
export const resume = defineSignal('resume');
/** Ends training after the iteration under way or its turn, or leaves out the step that failed; then evaluates and reports. */
export const stop = defineSignal<[after?: StopAfter]>('stop');
/** Ends the run as failed. Checkpoints stay. */
export const abort = defineSignal<[reason?: string]>('abort');

/** What a run may be stopped after; the turns done of an iteration that is broken off stay committed. */
export type StopAfter = 'iteration' | 'turn';

/** The same four as updates: refused where they make no sense, else answered in words. */
export const orderPause = defineUpdate<string, [reason: string | undefined]>('pause');
export const orderResume = defineUpdate<string>('resume');
export const orderStop = defineUpdate<string, [after: StopAfter | undefined]>('stop');
export const orderAbort = defineUpdate<string, [reason: string | undefined]>('abort');
/** Changes settings from the next iteration on; which ones: settings.ts. */
export const changeSettings = defineUpdate<SettingsChanged, [change: SettingsChange]>('changeSettings');
/** Goes on to iteration `total` instead of K. */
export const extendIterations = defineUpdate<SettingsChanged, [total: number]>('extendIterations');
/** Evaluates theta before the next iteration, also while the run is paused. */
export const evaluateNow = defineUpdate<readonly EvaluationPoint[]>('evaluateNow');

/** Of an iteration's own workflow, from its run: end before the next turn. */
export const stopAfterTurn = defineSignal('stopAfterTurn');

/** A part of TrainConfig, e.g. `{"optimizer":{"learningRate":1e-4}}`. */
export type SettingsChange = Readonly<Record<string, unknown>>;
export interface SettingsChanged {
  /** Counted from 1: the first iteration that they act on. */
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

/** Names that a run answers to. */
export const ofARun = {
  signals: ['pause', 'resume', 'stop', 'abort'],
  updates: ['pause', 'resume', 'stop', 'abort', 'changeSettings', 'extendIterations', 'evaluateNow'],
} as const;

/** What the Web UI says of each. */
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
  /** What is under way, e.g. `evaluate start`, `iteration`, `report`. */
  readonly phase: string;
  /** Iterations done. */
  readonly iteration: number;
  /** K; null until the run is open. */
  readonly iterations: number | null;
  /** Workflow id of the iteration under way: ask it for the turn. */
  readonly child: string | null;
  /** Why the run waits for `resume`; null if it does not. */
  readonly paused: string | null;
  readonly stopping: boolean;
  /** Settings that were changed on the way, the last ones. */
  readonly changes: readonly SettingsChanged[];
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Estimate from the iterations so far; null before the first. */
  readonly secondsLeft: number | null;
  readonly latest: IterationPoint | null;
  /** Settings that cannot act in this combination, each as a sentence that says why. */
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
  /** Of all policies; null until the evaluation is open. */
  readonly shards: number | null;
  readonly episodes: number;
  /** By policy, of the shards done; null before the first. */
  readonly meanReward: readonly { readonly label: string; readonly value: number | null }[];
}

export type IterationPoint = Omit<IterationResult, 'policy' | 'checkpoint'> & {
  /** Seconds on the clock, waiting included; `seconds` is what the steps took. */
  readonly wallSeconds: number;
};
export type EvaluationPoint = Omit<EvaluatePolicyResult, 'manifest'>;

export interface TrainMetrics {
  readonly evaluations: readonly EvaluationPoint[];
  readonly iterations: readonly IterationPoint[];
  readonly checkpoint: ArtifactRef | null;
}
