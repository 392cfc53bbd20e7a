import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { DeterminismViolationError } from '@temporalio/workflow';
import { DefaultLogger, Runtime, Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import type { RecordedRun } from '../support/recorded-runs.js';
import { bundleWorkflows } from '../support/workflow-bundle.js';

/** Recorded by test/replay/record.ts; a change that breaks these breaks runs that are under way. */
const folder = 'test/replay';
const histories = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .sort();
const read = (file: string) =>
  JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as Pick<RecordedRun, 'workflowId' | 'history'>;

let bundle: WorkflowBundleWithSourceMap;
before(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  bundle = await bundleWorkflows();
});

test('there are histories of a completed, a failed and resumed, a cancelled, a continued and a changed run, and one that lost its warm worker', () => {
  for (const name of [
    'completed',
    'failed-paused-resumed-stopped',
    'cancelled',
    'continued-as-new',
    'paused-changed-continued',
    'warm-worker-gone',
  ])
    assert.ok(histories.includes(`${name}.json`), name);
});

for (const file of histories) {
  test(`today's workflows replay ${file}`, async () => {
    const { workflowId, history } = read(file);
    await Worker.runReplayHistory({ workflowBundle: bundle }, history, workflowId);
  });
}

test('the gate bites: workflows that leave out a step do not replay', async () => {
  const { workflowId, history } = read('completed-iteration.json');
  const mutated = { ...bundle, code: bundle.code.replaceAll('.scoreTrajectories(', '.warmStart(') };
  assert.notEqual(mutated.code, bundle.code);
  await assert.rejects(
    Worker.runReplayHistory({ workflowBundle: mutated }, history, workflowId),
    DeterminismViolationError,
  );
});

test('a history in which the sticky worker was tried first does not replay without that attempt', async () => {
  const { workflowId, history } = read('warm-worker-gone-iteration.json');
  const mutated = { ...bundle, code: bundle.code.replaceAll('stickyQueue = done.warm', 'stickyQueue = undefined') };
  assert.notEqual(mutated.code, bundle.code);
  await assert.rejects(
    Worker.runReplayHistory({ workflowBundle: mutated }, history, workflowId),
    DeterminismViolationError,
  );
});
