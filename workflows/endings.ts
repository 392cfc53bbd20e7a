import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  ChildWorkflowFailure,
  ContinueAsNew,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { RunRef } from '../schemas/run.js';
import { cpu } from './activity-proxies.js';

/**
 * Runs a workflow's body; a failure that is only the echo of a cancellation ends it CANCELED.
 *
 * Cancelling while no worker is there to acknowledge it shows up as a heartbeat time-out of the
 * step, which would otherwise end the run FAILED.
 */
export async function endingCancelled<R>(body: () => Promise<R>): Promise<R> {
  try {
    return await body();
  } catch (failure) {
    if (isEchoOfCancellation(failure))
      throw new CancelledFailure('cancelled while no worker was there to acknowledge it');
    throw failure;
  }
}

/** Runs a workflow's body and lets go of its run when it ends, however it ends; over continue-as-new the run is held. */
export async function holding<R>(run: () => RunRef | undefined, body: () => Promise<R>): Promise<R> {
  const letGo = async () => {
    const held = run();
    if (held)
      await CancellationScope.nonCancellable(() =>
        cpu('let go of the run')
          .releaseRun({ run: held })
          .catch(() => {}),
      );
  };
  try {
    const result = await body();
    await letGo();
    return result;
  } catch (failure) {
    if (!(failure instanceof ContinueAsNew)) await letGo();
    throw failure;
  }
}

/** A step was cancelled, or timed out because of it. */
export const isCancelled = (failure: unknown): boolean => isCancellation(failure) || isEchoOfCancellation(failure);

const isEchoOfCancellation = (failure: unknown): boolean =>
  CancellationScope.current().consideredCancelled &&
  causes(failure).some((cause) => cause instanceof TimeoutFailure && cause.timeoutType === 'HEARTBEAT');

/** The failure and what caused it, outermost first. */
export function causes(failure: unknown): Error[] {
  const chain: Error[] = [];
  for (let next = failure; next instanceof Error && chain.length < 20; next = next.cause) chain.push(next);
  return chain;
}

/** What a person must read: the step that failed and the innermost message that says why. */
export function reasonOf(failure: unknown): string {
  const chain = causes(failure);
  const step = chain.find((cause) => cause instanceof ActivityFailure);
  // The first failure that is no envelope is the one an activity threw; what caused it is already in its words.
  const said = chain.find((cause) => !(cause instanceof ActivityFailure) && !(cause instanceof ChildWorkflowFailure));
  const type = said instanceof ApplicationFailure && said.type ? `${said.type}: ` : '';
  return `${step instanceof ActivityFailure ? `${step.activityType}: ` : ''}${type}${said?.message ?? String(failure)}`;
}

/** Trying the same step again cannot help: somebody must act first. */
export const isFinal = (failure: unknown): boolean =>
  causes(failure).some((cause) => cause instanceof ApplicationFailure && cause.nonRetryable === true);
