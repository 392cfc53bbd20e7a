import { proxyActivities } from '@temporalio/workflow';
import type { GpuActivities } from '../activities/index.js';
import { GPU, gpu } from './activity-proxies.js';
import { isCancelled, isFinal } from './failures.js';

/**
 * A free worker takes a task within milliseconds; any other worker needs about 2 s to load the weights of a small
 * model.
 */
const STICKY_TIMEOUT = '2 s';

/**
 * Runs a step on the worker that already holds the weights with which the step begins, if that worker is running and
 * free, else on any worker: one attempt on that worker's own task queue, then the shared queue. The result has the same
 * bytes either way.
 *
 * @param stickyQueue  task queue of that worker, as the result of the step before named it
 */
export async function onStickyWorker<R>(
  stickyQueue: string | undefined,
  summary: string,
  step: (activities: GpuActivities) => Promise<R>,
): Promise<R> {
  if (stickyQueue !== undefined) {
    const options = {
      ...GPU,
      summary,
      taskQueue: stickyQueue,
      scheduleToStartTimeout: STICKY_TIMEOUT,
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
