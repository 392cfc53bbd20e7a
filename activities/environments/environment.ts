import type {
  Demonstration,
  Observation,
  ResetRequest,
  RestoreRequest,
  StepRequest,
  Verdict,
} from '../../schemas/environment-protocol.js';
import type { Split, Task } from '../../schemas/task.js';
import type { ActionFormat } from '../rollout/tool-calls.js';

/**
 * A multi-turn environment as the rollout sees it. Deterministic: the same task, seed and actions give
 * the same observations, byte for byte. Idempotent: the same request again gives the same reply, and an
 * action is executed once. A failure of the environment is thrown, it is never an observation.
 */
export interface Environment {
  readonly name: string;
  /** How its prompts ask for calls; `call-lines` if absent. Known once tasks were listed or an episode was started. */
  readonly callFormat?: ActionFormat;
  /** The same of one task, where its options decide it; `callFormat` if absent. */
  callFormatOf?(taskId: string): ActionFormat;
  /** Tasks of one side of the split, in a fixed order. */
  listTasks(split: Split): Promise<Task[]>;
  /** Starts an episode under an id that the caller chose; the whole conversation so far. */
  reset(request: ResetRequest): Promise<Observation>;
  /** Executes one response; the messages that follow it. */
  step(request: StepRequest): Promise<Observation>;
  /** The verdict on the episode; reads only, changes nothing. */
  evaluate(episodeId: string): Promise<Verdict>;
  /** Forgets the episode; an unknown episode is not an error. */
  close(episodeId: string): Promise<void>;
  /** Conversations with the right answers in them; absent where none are known. */
  demonstrations?(): Promise<Demonstration[]>;
}

/** An environment that can lose its episodes (its process restarts) and replay them. */
export interface RestorableEnvironment extends Environment {
  /** Replays recorded actions in a new instance; the last observation. */
  restore(request: RestoreRequest): Promise<Observation>;
}

/**
 * The environment does not answer now: connection refused, time-out, 5xx, or all places taken.
 * Trying again later may help.
 */
export class EnvironmentUnavailable extends Error {
  override readonly name = 'EnvironmentUnavailable';
}

/**
 * The environment failed at work on a step: it took too long, ended, or answered nonsense. Once that may be chance, e.g. it
 * was killed; if a fresh environment fails at the same step again, it is what this step does (see `two-tries.ts`).
 */
export class FailedAtWork extends EnvironmentUnavailable {
  /**
   * @param told  what a model may read of it, the same words each time, e.g. `took longer than 10 s`
   * @param call  of the response's calls the one that failed, from 0
   */
  constructor(
    message: string,
    readonly told: string,
    readonly call = 0,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Environment and client disagree about the protocol or about an episode; trying again does not help. */
export class EnvironmentProtocolError extends Error {
  override readonly name = 'EnvironmentProtocolError';

  /** @param code  EnvironmentErrorBody's, or `not_the_protocol` for a reply of another form */
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The environment does not know the episode (any more): restore it. */
export class EpisodeLost extends Error {
  override readonly name = 'EpisodeLost';
}
