import { ActivityCancellationType, proxyActivities, workflowInfo, type ActivityOptions } from '@temporalio/workflow';
import type { CpuActivities, GpuActivities } from '../activities/index.js';

/**
 * Retries are always safe, because finished work is committed. A cancelled activity is awaited, so that none writes
 * after the workflow has ended.
 */
const common: ActivityOptions = {
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
};

/** Light steps: storage, the environment's task list, hashing the model file. */
const CPU: ActivityOptions = {
  ...common,
  // Hashing a model of tens of gigabytes takes minutes; the other steps take seconds.
  startToCloseTimeout: '15 min',
  // Without it, a step of a killed worker would be retried only after those 15 minutes.
  heartbeatTimeout: '30 s',
  // About ten minutes in all: long enough to restart a store or a sidecar by hand.
  retry: { initialInterval: '1 s', maximumInterval: '30 s', backoffCoefficient: 2, maximumAttempts: 25 },
};

/** Steps that use the model. */
export const GPU: ActivityOptions = {
  ...common,
  // For a step that hangs while its worker lives; the heartbeat timeout notices a dead worker.
  startToCloseTimeout: '4 h',
  // Heartbeats go out every 5 to 10 s; after this time a killed worker's step is retried on another worker.
  heartbeatTimeout: '30 s',
  // A step that kills its worker repeatedly is usually out of memory: give the device time to recover.
  retry: { initialInterval: '2 s', maximumInterval: '2 min', backoffCoefficient: 2, maximumAttempts: 8 },
};

/** Activities of the control queue, which is the workflow's own. */
export const cpu = (summary: string): CpuActivities => proxyActivities<CpuActivities>({ ...CPU, summary });

/** The ending of the control queue's name; start.ts rejects workflows on other queues. */
export const CONTROL_QUEUE = /-control$/;

/** Activities of the GPU queue with the same prefix: `seeupo-control` belongs to `seeupo-gpu`. */
export const gpu = (summary: string): GpuActivities =>
  proxyActivities<GpuActivities>({
    ...GPU,
    summary,
    taskQueue: workflowInfo().taskQueue.replace(CONTROL_QUEUE, '-gpu'),
  });
