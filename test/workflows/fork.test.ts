import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WorkflowFailedError } from '@temporalio/client';
import { createMemoryStore } from '../../activities/artifacts/memory-store.js';
import { keys } from '../../activities/artifacts/store.js';
import { RunManifest } from '../../schemas/run.js';
import type { TrainInput } from '../../schemas/run-request.js';
import type { train, TrainResult } from '../../workflows/train.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';
import { pipelineConfig, stepsOf, toyPipeline } from '../support/toy-pipeline.js';

let temporal: TemporalUnderTest;
const artifacts = createMemoryStore();
let source: Map<string, string>;
before(async () => {
  temporal = await startTemporal();
  await run('source', pipelineConfig);
  source = await stepsOf(artifacts, 'source');
});
after(() => temporal?.stop());

async function run(workflowId: string, input: TrainInput): Promise<{ result: TrainResult; done: string[] }> {
  const { activities, done } = toyPipeline(artifacts);
  const result = await temporal.withWorkers(activities, (taskQueue) =>
    temporal.environment.client.workflow.execute<typeof train>('train', { taskQueue, workflowId, args: [input] }),
  );
  return { result, done };
}
const refusal = (workflowId: string, input: TrainInput): Promise<string> =>
  run(workflowId, input).then(
    () => assert.fail('it was not refused'),
    (error: unknown) => (assert.ok(error instanceof WorkflowFailedError), String((error.cause as Error).cause)),
  );
const blobs = () => new Set([...artifacts.objects.keys()].filter((key) => key.startsWith('blobs/')));
const isBefore = (key: string) =>
  /iterations\/0000\/|iterations\/0001\/(rollout|groups|scores|turn-02)|evaluations\/0000-untouched/.test(key);

test('a fork before a turn shares everything before it, object by object, and goes its own way from there', async () => {
  const { done, result } = await run('slower', {
    forkFrom: { run: 'source', iteration: 1, turn: 1 },
    change: { optimizer: { learningRate: 0.01 } },
  });
  assert.equal(result.iterations, 3);
  const steps = await stepsOf(artifacts, 'slower');
  for (const [key, bytes] of source) {
    if (isBefore(key)) assert.equal(steps.get(key), bytes, key);
    else if (/turn-|checkpoint/.test(key)) assert.notEqual(steps.get(key), bytes, key);
  }
  assert.deepEqual([...steps.keys()].sort(), [...source.keys()].sort());
  // Iteration 0 is not walked again; of iteration 1, turn 1 and the checkpoint are made.
  assert.equal(done.filter((name) => name === 'commitCheckpoint').length, 2);
  const { manifest } = (await artifacts.findManifest(keys.runManifest('slower'), RunManifest))!;
  assert.deepEqual(
    [manifest.forkedFrom, manifest.config.optimizer.learningRate],
    [{ run: 'source', iteration: 1, turn: 1 }, 0.01],
  );
});

test('a fork that changes nothing makes the same bytes again, and not one blob more', async () => {
  const before = blobs();
  for (const [name, at] of [
    ['same-1', { iteration: 2 }],
    ['same-2', { iteration: 1, turn: 2 }],
    ['same-3', { iteration: 0 }],
  ] as const) {
    await run(name, { forkFrom: { run: 'source', ...at } });
    assert.deepEqual(await stepsOf(artifacts, name), source, name);
  }
  const names = ['same-1', 'same-2', 'same-3'];
  const added = [...blobs()]
    .filter((key) => !before.has(key))
    .map((key) => Buffer.from(artifacts.objects.get(key)!).toString());
  // Settings name where they begin; reports name the run. No weights, no trajectories.
  assert.ok(
    added.every(
      (text) => text.startsWith('{"before"') || /^<!doctype html/i.test(text) || text.includes('"completedIterations"'),
    ),
    added.map((text) => text.slice(0, 60)).join('\n'),
  );
  assert.ok(names.every((name) => artifacts.objects.has(keys.ownership(name))));
});

test('a fork at the beginning that is evaluated otherwise is so from its first evaluation on', async () => {
  const { result } = await run('other-samples', {
    forkFrom: { run: 'source', iteration: 0 },
    change: { evaluation: { samplesPerTask: 3 }, optimizer: { learningRate: 0.1 } },
  });
  assert.ok(result.evaluations.some(({ name }) => name === 'end'));
  const [steps, key] = [await stepsOf(artifacts, 'other-samples'), 'evaluations/0000-untouched-train.json'];
  assert.match(source.get(key)!, /"samples":2/);
  assert.match(steps.get(key)!, /"samples":3/);
});

test('a fork of a fork shares the beginning of both', async () => {
  await run('child', { forkFrom: { run: 'source', iteration: 1 }, change: { optimizer: { learningRate: 0.1 } } });
  await run('grandchild', { forkFrom: { run: 'child', iteration: 2 }, change: { iterations: 4 } });
  const [steps, parent] = [await stepsOf(artifacts, 'grandchild'), await stepsOf(artifacts, 'child')];
  for (const [key, bytes] of parent) if (/iterations\/000[01]\//.test(key)) assert.equal(steps.get(key), bytes, key);
  assert.ok(steps.has('iterations/0003/checkpoint.json'));
});

test('points that are not there, and settings that shared steps were made with, are refused', async () => {
  const fork = (at: object, change = {}) =>
    refusal('refused', { forkFrom: { run: 'source', iteration: 1, ...at }, change });
  assert.match(await fork({ run: 'nothing' }), /there is no run "nothing"/);
  assert.match(await fork({ iteration: 9 }), /run "source" has no checkpoint of iteration 8/);
  assert.match(await fork({ turn: 3 }), /iteration 1 of run "source" has turns 1 to 2, not 3/);
  assert.match(await fork({ iteration: 3, turn: 1 }), /has not got to the turns of iteration 3/);
  assert.match(await fork({}, { lora: { rank: 4 } }), /cannot change in a fork: lora.rank: stored 8, given 4/);
  assert.match(
    await fork({}, { optimizer: { learningRat: 1 } }),
    /learningRat is no setting: did you mean "learningRate"/,
  );
  assert.match(
    await refusal('source', { forkFrom: { run: 'source', iteration: 1 } }),
    /cannot be forked into itself|belongs to another run/,
  );
  await run('once', { forkFrom: { run: 'source', iteration: 3 } });
  assert.match(
    await refusal('once', { forkFrom: { run: 'source', iteration: 2 } }),
    /"once" belongs to another run.*forkFrom.iteration: stored 3, given 2/,
  );
});
