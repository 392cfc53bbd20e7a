import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import { isGpuActivity } from '../../activities/gpu-activity-names.js';
import { keys } from '../../activities/artifacts/store.js';
import { differencesOf, readEvidence } from '../../scripts/chaos/evidence.js';
import { readHistories, type ActivityRecord } from '../../scripts/chaos/histories.js';
import { RECOVERY_BAR_SECONDS } from '../../scripts/chaos/series.js';
import { startStack, type Stack } from '../../scripts/chaos/stack.js';
import { recoveryAfter, repeatedOf } from '../../scripts/chaos/trial.js';
import { runtimeDir } from '../../scripts/setup/paths.js';
import { committed } from '../support/committed.js';
import { tinyRun, tinyWorkerEnv } from '../../scripts/chaos/tiny-run.js';

/*
 * Two real GPU workers: an iteration's updates stay with the one that holds the weights, and go to the other when
 * that one is killed. The bytes are those of a run without a kill.
 */
const config = { ...tinyRun, warmStart: null };
let root: string;
let stack: Stack;
before(async () => {
  root = await mkdtemp(path.join(runtimeDir, 'test-affinity-'));
  stack = await startStack({
    dataDir: path.join(root, 'stack'),
    gpuWorkers: 2,
    sidecar: false,
    workerEnv: await tinyWorkerEnv(path.join(root, 'models')),
  });
});
after(async () => {
  await stack?.stop();
  await rm(root, { recursive: true, force: true });
});

const start = (workflowId: string): Promise<WorkflowHandle> =>
  stack.client.workflow.start('train', { taskQueue: 'seeupo-control', workflowId, args: [config] });
const updatesOf = async (runId: string): Promise<ActivityRecord[]> =>
  (await readHistories(stack.client, runId)).activities.filter(({ type }) => type === 'updateTurn');
/** Workers of each iteration's updates in their order, by iteration. */
const byIteration = (updates: readonly ActivityRecord[]): string[][] =>
  [...new Set(updates.map(({ workflowId }) => workflowId))].map((id) =>
    updates.filter(({ workflowId }) => workflowId === id).map(({ worker }) => worker),
  );

test('every update of an iteration is made by the worker that made its first, while both have a part in the run', async () => {
  await (await start('warm')).result();
  const { activities } = await readHistories(stack.client, 'warm');
  const updates = byIteration(await updatesOf('warm'));
  assert.deepEqual(
    updates.map((workers) => workers.length),
    [3, 3, 3],
  );
  for (const workers of updates) assert.equal(new Set(workers).size, 1, workers.join(', '));
  assert.equal(new Set(activities.filter(({ type }) => isGpuActivity(type)).map(({ worker }) => worker)).size, 2);
  assert.deepEqual(repeatedOf(activities), []);
});

test('the worker that holds the weights is killed between two turns: the other goes on within the bar, to the same bytes', async () => {
  const run = await start('cold');
  await committed(stack, run, keys.turnState('cold', 1, 3));
  const second = (await updatesOf('cold')).find(({ workflowId }) => workflowId.endsWith('0001'));
  assert.ok(second, 'the second iteration has begun its updates');
  const killedAt = Date.now();
  process.kill(Number.parseInt(second.worker, 10), 'SIGKILL');
  await run.result();
  const { activities } = await readHistories(stack.client, 'cold');
  const [, workers] = byIteration(activities.filter(({ type, completed }) => type === 'updateTurn' && completed));
  assert.equal(workers!.length, 3);
  assert.ok(
    workers!.some((worker) => worker !== second.worker),
    workers!.join(', '),
  );
  assert.ok(repeatedOf(activities).length <= 1);
  assert.ok(recoveryAfter(killedAt, activities).every((seconds) => seconds < RECOVERY_BAR_SECONDS));
  const [found, expected] = [await readEvidence(stack.artifacts, 'cold'), await readEvidence(stack.artifacts, 'warm')];
  assert.deepEqual(differencesOf(found.fingerprint, expected.fingerprint), []);
  assert.deepEqual(found.broken, []);
});
