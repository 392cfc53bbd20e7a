import {
  ApplicationFailure,
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  setHandler,
} from '@temporalio/workflow';
import { isCancelled, isFinal, reasonOf } from './failures.js';
import * as messages from './messages.js';

/** The operator's orders in force. Carried over continue-as-new, as `steering` of the run's state. */
export interface RunControl {
  /** The reason for the pause; null while the run is not paused. */
  paused: string | null;
  stopping: boolean;
  /** The reason for which the run must end as failed; null unless `abort` was sent. */
  aborted: string | null;
}

export const initialControl = (): RunControl => ({ paused: null, stopping: false, aborted: null });

export interface ControlHooks {
  /** Redraws the run's details in the Web UI. */
  changed(): void;
  /** The current step as a text, e.g. `iteration 3`. */
  underWay(): string;
  /** Workflow id of the current iteration; null between iterations. */
  child(): string | null;
}

/**
 * Registers pause, resume, stop and abort, each as a signal and as an update of the same name. A signal has no answer
 * and is obeyed as far as possible; an update is validated first, and is answered with a sentence or rejected.
 */
export function registerControlHandlers(control: RunControl, { changed, underWay, child }: ControlHooks) {
  // A step failed and the run waits for an operator; `stop` then skips that step.
  let waitingAfterFailure = false;
  let skipped = false;
  /** Scope of the current step, so that `abort` can cancel it. */
  let scope: CancellationScope | null = null;
  const { descriptions } = messages;

  function pause(reason?: string): string {
    control.paused ??= reason ?? 'asked to';
    changed();
    return `${underWay()} is finished first; then the run waits for resume, stop or abort`;
  }
  function resume(): string {
    const reason = control.paused;
    control.paused = null;
    changed();
    return `the run continues; it was paused: ${reason}`;
  }
  async function stop(after: messages.StopAfter = 'iteration'): Promise<string> {
    const step = underWay();
    control.stopping = true;
    control.paused = null;
    skipped = waitingAfterFailure;
    changed();
    const iteration = child();
    // The signal fails if the iteration has just ended by itself: then there is nothing left to stop.
    if (iteration !== null && after === 'turn')
      await getExternalWorkflowHandle(iteration)
        .signal(messages.stopAfterTurn)
        .catch(() => {});
    return skipped
      ? `${step} is left out; then the run evaluates, reports and ends`
      : `ends after ${after === 'turn' ? 'the turn under way' : step}, evaluates and reports`;
  }
  function abort(reason?: string): string {
    control.aborted = reason ?? 'asked to';
    changed();
    scope?.cancel();
    return `${underWay()} is given up; the run ends as failed, its checkpoints stay`;
  }

  const requireText = (value: unknown, order: string) => {
    if (value !== undefined && value !== null && typeof value !== 'string')
      throw rejected(`${order}: the reason is ${JSON.stringify(value)}, must be text`);
  };
  setHandler(messages.pause, (reason) => void pause(reason), { description: descriptions.pause });
  setHandler(messages.resume, () => void resume(), { description: descriptions.resume });
  setHandler(messages.stop, async (after) => void (await stop(after)), { description: descriptions.stop });
  setHandler(messages.abort, (reason) => void abort(reason), { description: descriptions.abort });
  setHandler(messages.orderPause, pause, {
    description: descriptions.pause,
    validator(reason) {
      requireText(reason, 'pause');
      if (control.paused !== null) throw rejected(`the run is paused already: ${control.paused}`);
    },
  });
  setHandler(messages.orderResume, resume, {
    description: descriptions.resume,
    validator() {
      if (control.paused === null) throw rejected(`the run is not paused: ${underWay()} is under way`);
    },
  });
  setHandler(messages.orderStop, stop, {
    description: descriptions.stop,
    validator(after) {
      if (after !== undefined && after !== 'turn' && after !== 'iteration')
        throw rejected(`stop: ${JSON.stringify(after)} is neither "turn" nor "iteration", after which to stop`);
      if (control.stopping && after !== 'turn') throw rejected(`the run is stopping already, after ${underWay()}`);
    },
  });
  setHandler(messages.orderAbort, abort, {
    description: descriptions.abort,
    validator: (reason) => requireText(reason, 'abort'),
  });

  /** Waits until the run is not paused, or until `also` returns true. @throws {ApplicationFailure} Aborted */
  async function waitWhilePaused(also: () => boolean = () => false): Promise<void> {
    await condition(() => control.paused === null || control.aborted !== null || also());
    if (control.aborted !== null) throw ApplicationFailure.nonRetryable(`aborted: ${control.aborted}`, 'Aborted');
  }

  /** Runs a step in a scope that `abort` cancels. @throws {ApplicationFailure} Aborted */
  async function abortable<R>(work: () => Promise<R>): Promise<R> {
    try {
      return await CancellationScope.cancellable(() => {
        scope = CancellationScope.current();
        return work();
      });
    } catch (failure) {
      if (control.aborted !== null) await waitWhilePaused();
      throw failure;
    } finally {
      scope = null;
    }
  }

  /**
   * Runs a step; if it fails, retries it, then pauses the run until an operator resumes, stops or aborts it.
   * A run of several days must not end because of one fault, nor retry for ever what only a person can fix.
   *
   * @param retries  number of retries before the run is paused
   * @returns        null if `stop` skipped the step after it had failed
   */
  async function retryThenPause<R>(step: string, retries: number, work: () => Promise<R>): Promise<R | null> {
    for (let left = retries; ; left--) {
      await waitWhilePaused();
      try {
        return await abortable(work);
      } catch (failure) {
        if (control.aborted !== null || isCancelled(failure)) throw failure;
        if (left > 0 && !isFinal(failure)) continue;
        control.paused = `${step} failed. ${reasonOf(failure)}`;
        waitingAfterFailure = true;
        skipped = false;
        changed();
        await waitWhilePaused();
        waitingAfterFailure = false;
        if (skipped) return null;
        left = retries + 1;
      }
    }
  }

  return { waitWhilePaused, abortable, retryThenPause };
}

/** The answer to an update that makes no sense now. Thrown by a validator, it leaves no event in the history. */
export const rejected = (message: string): ApplicationFailure => ApplicationFailure.nonRetryable(message, 'Refused');
