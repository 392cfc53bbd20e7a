import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { patched, sleep } from '@temporalio/workflow';

/** Between two looks whether the other one has ended. */
const FIRST_LOOK_MS = 2_000;
const LAST_LOOK_MS = 60_000;

/**
 * Starts a child, once no other execution has its workflow id. After `temporal workflow reset` the iteration that
 * the run had
 * begun may live for a while: it commits what it does, and the next one finds that. A person can end it sooner, or
 * abort the run.
 *
 * @param waiting  is told when the id is found taken
 */
export async function onceFree<R>(start: () => Promise<R>, waiting: () => void): Promise<R> {
  for (let lookMs = FIRST_LOOK_MS, told = false; ; lookMs = Math.min(2 * lookMs, LAST_LOOK_MS)) {
    try {
      return await start();
    } catch (failure) {
      // Runs of before this version paused here, and their histories say so.
      if (
        !(failure instanceof WorkflowExecutionAlreadyStartedError) ||
        !patched('wait-for-iteration-of-earlier-execution')
      )
        throw failure;
      if (!told) waiting();
      told = true;
    }
    await sleep(lookMs);
  }
}
