import {
  ApplicationFailure,
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  setHandler,
} from '@temporalio/workflow';
import { isCancelled, isFinal, reasonOf } from './endings.js';
import * as messages from './messages.js';

/** What an operator has asked for; survives continue-as-new. */
export interface Steering {
  /** Why the run waits; null if it does not. */
  paused: string | null;
  stopping: boolean;
  /** Why the run is to end as failed; null if it is not. */
  aborted: string | null;
}

export const freely = (): Steering => ({ paused: null, stopping: false, aborted: null });

export interface Steered {
  /** Redraws what the Web UI shows. */
  changed(): void;
  /** What is under way, in words. */
  underWay(): string;
  /** Workflow id of the iteration under way, if one is. */
  child(): string | null;
}

/**
 * Registers pause, resume, stop and abort, each as a signal, which is obeyed as far as it makes sense, and as an
 * update of the same name, which is checked, answered in words, and refused where it makes none.
 */
export function steer(steering: Steering, { changed, underWay, child }: Steered) {
  // A step has failed and the run waits for a person's word on it; a `stop` then leaves the step out.
  let waitingAfterFailure = false;
  let leftOut = false;
  /** The step under way: `abort` does not wait for its end. */
  let scope: CancellationScope | null = null;
  const { descriptions } = messages;

  function pause(reason?: string): string {
    steering.paused ??= reason ?? 'asked to';
    changed();
    return `${underWay()} is finished first; then the run waits for resume, stop or abort`;
  }
  function resume(): string {
    const was = steering.paused;
    steering.paused = null;
    changed();
    return `goes on; it was paused: ${was}`;
  }
  async function stop(after: messages.StopAfter = 'iteration'): Promise<string> {
    const step = underWay();
    steering.stopping = true;
    steering.paused = null;
    leftOut = waitingAfterFailure;
    changed();
    const iteration = child();
    // The iteration may have ended on its own just now: then there is nothing left to tell it.
    if (iteration !== null && after === 'turn')
      await getExternalWorkflowHandle(iteration)
        .signal(messages.stopAfterTurn)
        .catch(() => {});
    return leftOut
      ? `${step} is left out; then the run evaluates, reports and ends`
      : `ends after ${after === 'turn' ? 'the turn under way' : step}, evaluates and reports`;
  }
  function abort(reason?: string): string {
    steering.aborted = reason ?? 'asked to';
    changed();
    scope?.cancel();
    return `${underWay()} is given up; the run ends as failed, its checkpoints stay`;
  }

  const text = (value: unknown, of: string) => {
    if (value !== undefined && value !== null && typeof value !== 'string')
      throw refused(`${of}: the reason is ${JSON.stringify(value)}, must be text`);
  };
  setHandler(messages.pause, (reason) => void pause(reason), { description: descriptions.pause });
  setHandler(messages.resume, () => void resume(), { description: descriptions.resume });
  setHandler(messages.stop, async (after) => void (await stop(after)), { description: descriptions.stop });
  setHandler(messages.abort, (reason) => void abort(reason), { description: descriptions.abort });
  setHandler(messages.orderPause, pause, {
    description: descriptions.pause,
    validator(reason) {
      text(reason, 'pause');
      if (steering.paused !== null) throw refused(`the run is paused already: ${steering.paused}`);
    },
  });
  setHandler(messages.orderResume, resume, {
    description: descriptions.resume,
    validator() {
      if (steering.paused === null) throw refused(`the run is not paused: ${underWay()} is under way`);
    },
  });
  setHandler(messages.orderStop, stop, {
    description: descriptions.stop,
    validator(after) {
      if (after !== undefined && after !== 'turn' && after !== 'iteration')
        throw refused(`stop: ${JSON.stringify(after)} is neither "turn" nor "iteration", after which to stop`);
      if (steering.stopping && after !== 'turn') throw refused(`the run is stopping already, after ${underWay()}`);
    },
  });
  setHandler(messages.orderAbort, abort, {
    description: descriptions.abort,
    validator: (reason) => text(reason, 'abort'),
  });

  /** Waits while the run is paused, or until `also` holds. @throws {ApplicationFailure} Aborted */
  async function gate(also: () => boolean = () => false): Promise<void> {
    await condition(() => steering.paused === null || steering.aborted !== null || also());
    if (steering.aborted !== null) throw ApplicationFailure.nonRetryable(`aborted: ${steering.aborted}`, 'Aborted');
  }

  /** Does a step, which `abort` cancels. @throws {ApplicationFailure} Aborted */
  async function abortable<R>(work: () => Promise<R>): Promise<R> {
    try {
      return await CancellationScope.cancellable(() => {
        scope = CancellationScope.current();
        return work();
      });
    } catch (failure) {
      if (steering.aborted !== null) await gate();
      throw failure;
    } finally {
      scope = null;
    }
  }

  /**
   * Does a step; if it fails, tries it again a few times, then pauses the run and waits for a person.
   * A run of days must not die on one fault, nor spin on one that only a person can mend.
   *
   * @param retries  how often to try again before asking
   * @returns        null if the step was left out by `stop`
   */
  async function persevere<R>(step: string, retries: number, work: () => Promise<R>): Promise<R | null> {
    for (let left = retries; ; left--) {
      await gate();
      try {
        return await abortable(work);
      } catch (failure) {
        if (steering.aborted !== null || isCancelled(failure)) throw failure;
        if (left > 0 && !isFinal(failure)) continue;
        steering.paused = `${step} failed. ${reasonOf(failure)}`;
        waitingAfterFailure = true;
        leftOut = false;
        changed();
        await gate();
        waitingAfterFailure = false;
        if (leftOut) return null;
        left = retries + 1;
      }
    }
  }

  return { gate, abortable, persevere };
}

/** What the caller of an update is told; leaves no trace in the history if thrown by a validator. */
export const refused = (message: string): ApplicationFailure => ApplicationFailure.nonRetryable(message, 'Refused');
