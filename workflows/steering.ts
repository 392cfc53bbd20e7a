import { ApplicationFailure, condition, setHandler } from '@temporalio/workflow';
import { isCancelled, isFinal, reasonOf } from './endings.js';
import { abort, descriptions, pause, resume, stop } from './messages.js';

/** What an operator has asked for; survives continue-as-new. */
export interface Steering {
  /** Why the run waits; null if it does not. */
  paused: string | null;
  stopping: boolean;
  /** Why the run is to end as failed; null if it is not. */
  aborted: string | null;
}

export const freely = (): Steering => ({ paused: null, stopping: false, aborted: null });

/** Registers the signals. `changed` redraws what the Web UI shows. */
export function steer(steering: Steering, changed: () => void) {
  // A step has failed and the run waits for a person's word on it; a `stop` then leaves the step out.
  let waitingAfterFailure = false;
  let leftOut = false;

  setHandler(
    pause,
    (reason) => {
      steering.paused ??= reason ?? 'asked to';
      changed();
    },
    { description: descriptions.pause },
  );
  setHandler(
    resume,
    () => {
      steering.paused = null;
      changed();
    },
    { description: descriptions.resume },
  );
  setHandler(
    stop,
    () => {
      steering.stopping = true;
      steering.paused = null;
      leftOut = waitingAfterFailure;
      changed();
    },
    { description: descriptions.stop },
  );
  setHandler(
    abort,
    (reason) => {
      steering.aborted = reason ?? 'asked to';
      changed();
    },
    { description: descriptions.abort },
  );

  /** Waits while the run is paused. @throws {ApplicationFailure} Aborted */
  async function gate(): Promise<void> {
    await condition(() => steering.paused === null || steering.aborted !== null);
    if (steering.aborted !== null) throw ApplicationFailure.nonRetryable(`aborted: ${steering.aborted}`, 'Aborted');
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
        return await work();
      } catch (failure) {
        if (isCancelled(failure)) throw failure;
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

  return { gate, persevere };
}
