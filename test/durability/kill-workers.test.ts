import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import type { TrainResult } from '../../workflows/train.js';
import { fingerprint, reached, smallRun, startRun, startStack, type Stack } from './small-run.js';

/*
 * The real thing on one machine: Temporal, S3, the BFCL simulators, SmolLM2, two worker processes.
 * One run undisturbed, one of the same seed that loses its GPU worker in an update, its control
 * worker in a rollout and its sidecar in another: the same bytes.
 */
let stack: Stack;
let undisturbed: WorkflowHandle;
before(async () => {
  stack = await startStack();
});
after(() => stack?.stop());

const kill = (service: string): void => {
  const pid = stack.services.pids()[service];
  assert.ok(pid, `${service} runs`);
  process.kill(pid, 'SIGKILL');
};
const resultOf = (run: WorkflowHandle): Promise<TrainResult> => run.result() as Promise<TrainResult>;

test('a run of two iterations completes, and its updates move the weights', async () => {
  undisturbed = await startRun(stack, smallRun, 'undisturbed');
  const result = await resultOf(undisturbed);
  assert.equal(result.iterations, 2);
  assert.ok(result.report, 'it has a report');
  const made = await fingerprint(stack.artifacts, undisturbed.workflowId, 2);
  const adapters = made.flatMap((step) => ('adapter' in step && step.adapter ? [step.adapter as string] : []));
  assert.ok(new Set(adapters).size > 1, 'each update left other weights, or this test proves nothing');
});

test('kill -9 of the control worker in a rollout, of the GPU worker in an update, of the sidecar in a rollout: the same bytes', async () => {
  const restarts: string[] = [];
  stack.services.on('restart', (service) => restarts.push(service));
  const run = await startRun(stack, smallRun, 'disturbed');
  await reached(stack, run, 1, 'rollout');
  kill('cpu-worker');
  await reached(stack, run, 1, 'update turn');
  kill('gpu-worker');
  await reached(stack, run, 2, 'rollout');
  kill('bfcl');
  await resultOf(run);
  assert.deepEqual([...new Set(restarts)].sort(), ['bfcl', 'cpu-worker', 'gpu-worker']);
  assert.deepEqual(
    await fingerprint(stack.artifacts, run.workflowId, 2),
    await fingerprint(stack.artifacts, undisturbed.workflowId, 2),
  );
});
