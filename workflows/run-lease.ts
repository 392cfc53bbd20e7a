import { CancellationScope, ContinueAsNew } from '@temporalio/workflow';
import type { RunRef } from '../schemas/run.js';
import { cpu } from './activity-proxies.js';

/**
 * Runs a workflow's body and releases the run's lease (its ownership record, see activities/run/ownership.ts) when the
 * body ends, successfully or not. Continue-as-new keeps the lease: the next execution belongs to the same run.
 *
 * @param run  the run whose lease openRun took; undefined before that
 */
export async function withRunLease<R>(run: () => RunRef | undefined, body: () => Promise<R>): Promise<R> {
  const releaseLease = async () => {
    const owned = run();
    if (owned)
      await CancellationScope.nonCancellable(() =>
        cpu('release the run')
          .releaseRun({ run: owned })
          .catch(() => {}),
      );
  };
  try {
    const result = await body();
    await releaseLease();
    return result;
  } catch (failure) {
    if (!(failure instanceof ContinueAsNew)) await releaseLease();
    throw failure;
  }
}
