import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  ChildWorkflowFailure,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';

/**
 * Runs a workflow's body; a failure that was only caused by a cancellation ends the workflow as CANCELED.
 *
 * If a workflow is cancelled while none of its workers runs, the step fails with a heartbeat timeout instead of a
 * cancellation, which would otherwise end the run as FAILED.
 */
export async function asCancelled<R>(body: () => Promise<R>): Promise<R> {
  try {
    return await body();
  } catch (failure) {
    if (isCancellationTimeout(failure))
      throw new CancelledFailure('cancelled while no worker was there to acknowledge it');
    throw failure;
  }
}

/** Whether a step was cancelled, or timed out because of a cancellation. */
export const isCancelled = (failure: unknown): boolean => isCancellation(failure) || isCancellationTimeout(failure);

const isCancellationTimeout = (failure: unknown): boolean =>
  CancellationScope.current().consideredCancelled &&
  causes(failure).some((cause) => cause instanceof TimeoutFailure && cause.timeoutType === 'HEARTBEAT');

/** The failure and its chain of causes, outermost first. */
function causes(failure: unknown): Error[] {
  const chain: Error[] = [];
  for (let next = failure; next instanceof Error && chain.length < 20; next = next.cause) chain.push(next);
  return chain;
}

/** The failure as a text for people: the activity that failed, and the innermost message. */
export function reasonOf(failure: unknown): string {
  const chain = causes(failure);
  const step = chain.find((cause) => cause instanceof ActivityFailure);
  // Activity and child workflow failures only wrap the error that the activity threw, whose message names its own
  // cause.
  const thrown = chain.find((cause) => !(cause instanceof ActivityFailure) && !(cause instanceof ChildWorkflowFailure));
  const type = thrown instanceof ApplicationFailure && thrown.type ? `${thrown.type}: ` : '';
  return `${step instanceof ActivityFailure ? `${step.activityType}: ` : ''}${type}${thrown?.message ?? String(failure)}`;
}

/** Whether a retry of the same step cannot succeed, so that a person must act first. */
export const isFinal = (failure: unknown): boolean =>
  causes(failure).some((cause) => cause instanceof ApplicationFailure && cause.nonRetryable === true);
