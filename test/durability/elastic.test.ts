import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { isGpuActivity } from '../../activities/gpu-activity-names.js';
import { keys } from '../../activities/artifacts/store.js';
import { differencesOf, readEvidence } from '../../scripts/chaos/evidence.js';
import { readHistories } from '../../scripts/chaos/histories.js';
import { startStack, type Stack } from '../../scripts/chaos/stack.js';
import { repeatedOf } from '../../scripts/chaos/trial.js';
import { repositoryRoot, runtimeDir } from '../../scripts/setup/paths.js';
import { committed } from '../support/committed.js';
import { tinyRun, tinyWorkerEnv } from '../../scripts/chaos/tiny-run.js';

/*
 * Any number of GPU workers, added and taken away while a run goes on: the same tokens and weights. Rollouts
 * and every turn's gradient are in shards, so that there is something to share.
 */
const config = { ...tinyRun, update: { shards: 2 } };
let root: string;
let stack: Stack;
let workerEnv: Record<string, string>;
let alone: WorkflowHandle;
const added: ChildProcess[] = [];
before(async () => {
  root = await mkdtemp(path.join(runtimeDir, 'test-elastic-'));
  workerEnv = await tinyWorkerEnv(path.join(root, 'models'));
  stack = await startStack({ dataDir: path.join(root, 'stack'), gpuWorkers: 1, sidecar: false, workerEnv });
});
after(async () => {
  for (const worker of added) worker.kill('SIGKILL');
  await stack?.stop();
  await rm(root, { recursive: true, force: true });
});

async function addWorker(): Promise<ChildProcess> {
  const readyFile = path.join(root, `ready-${added.length}`);
  const env = {
    ...process.env,
    ...stack.services.env(),
    ...workerEnv,
    SEEUPO_S3_ENDPOINT: stack.proxy.url,
    SEEUPO_READY_FILE: readyFile,
    SEEUPO_LOG_LEVEL: 'error',
  };
  const worker = spawn(process.execPath, [path.join(repositoryRoot, 'dist/workers/gpu-worker.js')], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  added.push(worker);
  while (!existsSync(readyFile)) await sleep(50);
  return worker;
}
const start = (workflowId: string): Promise<WorkflowHandle> =>
  stack.client.workflow.start('train', { taskQueue: 'seeupo-control', workflowId, args: [config] });

/** What the run left equals what one worker made; returns how many worker processes had a part in it. */
async function sameAsAlone(run: WorkflowHandle): Promise<{ workers: number; repeated: string[] }> {
  await run.result();
  const [found, expected] = [
    await readEvidence(stack.artifacts, run.workflowId),
    await readEvidence(stack.artifacts, alone.workflowId),
  ];
  assert.deepEqual(differencesOf(found.fingerprint, expected.fingerprint), []);
  assert.deepEqual(found.broken, []);
  const { activities } = await readHistories(stack.client, run.workflowId);
  const onGpu = activities.filter(({ type }) => isGpuActivity(type));
  return {
    workers: new Set(onGpu.map(({ worker }) => worker)).size,
    repeated: repeatedOf(activities).map(({ type }) => type),
  };
}

test('one worker: every update moves the weights', async () => {
  alone = await start('alone');
  await alone.result();
  const { adapters, optimizerSteps } = await readEvidence(stack.artifacts, 'alone');
  assert.equal(new Set(adapters).size, 9);
  assert.deepEqual(optimizerSteps, { applied: 18, planned: 18 });
});

test('two workers: the same tokens and weights', async () => {
  await addWorker();
  const { workers, repeated } = await sameAsAlone(await start('two'));
  assert.equal(workers, 2);
  assert.deepEqual(repeated, []);
});

test('four workers: the same tokens and weights', async () => {
  await Promise.all([addWorker(), addWorker()]);
  const { workers, repeated } = await sameAsAlone(await start('four'));
  assert.ok(workers >= 3, `${workers} workers took part`);
  assert.deepEqual(repeated, []);
});

test('workers that come, are drained by SIGTERM and are killed during a run: the same tokens and weights', async () => {
  const run = await start('changing');
  const [first, second] = added;
  await committed(stack, run, keys.groups('changing', 0));
  first!.kill('SIGTERM');
  const [code] = (await once(first!, 'exit')) as [number | null];
  assert.equal(code, 0, 'a drained worker hands its step over or finishes it, and ends');
  await committed(stack, run, keys.turnState('changing', 1, 3));
  second!.kill('SIGKILL');
  await addWorker();
  const { repeated } = await sameAsAlone(run);
  assert.ok(repeated.length <= 1, `done again: ${repeated.join(', ')}`);
});
