import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { patched, sleep } from '@temporalio/workflow';

/** Time between two attempts to start; doubled after each. */
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 60_000;

/**
 * Starts a child workflow as soon as no other execution uses its workflow id. After `temporal workflow reset`, the
 * iteration that the run began before the reset may still be running. It commits its results, and the new child
 * finds them. An operator can terminate it to wait less, or abort the run.
 *
 * @param onWait  called once, when the id is found in use
 */
export async function startOnceFree<R>(start: () => Promise<R>, onWait: () => void): Promise<R> {
  for (let waitMs = FIRST_WAIT_MS, waited = false; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    try {
      return await start();
    } catch (failure) {
      // Older versions paused the run here; their histories must replay.
      if (
        !(failure instanceof WorkflowExecutionAlreadyStartedError) ||
        !patched('wait-for-iteration-of-earlier-execution')
      )
        throw failure;
      if (!waited) onWait();
      waited = true;
    }
    await sleep(waitMs);
  }
}
