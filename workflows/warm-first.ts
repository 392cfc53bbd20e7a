import { proxyActivities } from '@temporalio/workflow';
import type { GpuActivities } from '../activities/index.js';
import { GPU, gpu } from './activity-proxies.js';
import { isCancelled, isFinal } from './endings.js';

/** A worker that is there and free takes a task within milliseconds; a cold one needs about so long to load the weights of a small model. */
const WARM_TIMEOUT = '2 s';

/**
 * Does a step on the worker that holds the weights which it begins with, if it is there and free, else on any: one
 * attempt of its own queue, and the shared one after that. The results are the same bytes.
 *
 * @param warm  queue of that worker, as the step before named it
 */
export async function warmFirst<R>(
  warm: string | undefined,
  summary: string,
  step: (activities: GpuActivities) => Promise<R>,
): Promise<R> {
  if (warm !== undefined) {
    const options = {
      ...GPU,
      summary,
      taskQueue: warm,
      scheduleToStartTimeout: WARM_TIMEOUT,
      retry: { maximumAttempts: 1 },
    } as const;
    try {
      return await step(proxyActivities<GpuActivities>(options));
    } catch (failure) {
      if (isCancelled(failure) || isFinal(failure)) throw failure;
    }
  }
  return step(gpu(summary));
}
