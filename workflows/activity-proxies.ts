import { ActivityCancellationType, proxyActivities, workflowInfo, type ActivityOptions } from '@temporalio/workflow';
import type { CpuActivities, GpuActivities } from '../activities/index.js';

/** A retry finds finished work committed, so trying again is always safe; cancelled work is waited for, so that nothing writes after the end. */
const common: ActivityOptions = {
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
};

/** Light steps: storage, the environment's task list, hashing the model file. */
const CPU: ActivityOptions = {
  ...common,
  // Hashing a model of tens of gigabytes takes minutes; all else takes seconds.
  startToCloseTimeout: '15 min',
  // Without it a step of a killed worker would go on only after those minutes.
  heartbeatTimeout: '30 s',
  // About ten minutes in all: long enough to restart a store or a sidecar by hand.
  retry: { initialInterval: '1 s', maximumInterval: '30 s', backoffCoefficient: 2, maximumAttempts: 25 },
};

/** Steps that use the model. */
export const GPU: ActivityOptions = {
  ...common,
  // Only a step that hangs without dying is caught by this; a dead worker is caught by the heartbeat.
  startToCloseTimeout: '4 h',
  // Heartbeats go out every 5 to 10 s; a killed worker's step goes on elsewhere after this.
  heartbeatTimeout: '30 s',
  // Repeated deaths on one step are out of memory as a rule: leave the device some time to recover.
  retry: { initialInterval: '2 s', maximumInterval: '2 min', backoffCoefficient: 2, maximumAttempts: 8 },
};

/** Activities of the control queue, which is the workflow's own. */
export const cpu = (summary: string): CpuActivities => proxyActivities<CpuActivities>({ ...CPU, summary });

/** How the queue of workflows ends; start.ts sees to it that a workflow's does. */
export const CONTROL = /-control$/;

/** Activities of the GPU queue beside it: `seeupo-control` has `seeupo-gpu`. */
export const gpu = (summary: string): GpuActivities =>
  proxyActivities<GpuActivities>({ ...GPU, summary, taskQueue: workflowInfo().taskQueue.replace(CONTROL, '-gpu') });
