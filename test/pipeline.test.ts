import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { keys } from '../activities/artifacts/store.js';
import { createMemoryStore } from '../activities/artifacts/memory-store.js';
import { CheckpointManifest } from '../schemas/checkpoint.js';
import type { train } from '../workflows/train.js';
import { startTemporal, type TemporalUnderTest } from './support/temporal.js';
import { pipelineConfig, RIGHT, stepsOf, toyPipeline } from './support/toy-pipeline.js';

/**
 * The whole pipeline, with everything real but the outside: real workflows on a real Temporal server,
 * every real activity; a store in memory, a game of one word, and a policy that is a table of four logits.
 */
let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

async function run(workflowId: string) {
  const artifacts = createMemoryStore();
  const { activities } = toyPipeline(artifacts);
  const result = await temporal.withWorkers(activities, (taskQueue) =>
    temporal.environment.client.workflow.execute<typeof train>('train', {
      taskQueue,
      workflowId,
      args: [pipelineConfig],
    }),
  );
  return {
    result,
    artifacts,
    logits: JSON.parse(Buffer.from(await artifacts.getBlob(result.policy.adapter!)).toString()) as number[],
  };
}

test('a run trains, evaluates and reports, and the policy comes to prefer the answer that is rewarded', async () => {
  const { result, artifacts, logits } = await run('toy-1');
  assert.equal(logits.indexOf(Math.max(...logits)), RIGHT, `${logits}`);
  assert.deepEqual([...new Set(result.evaluations.map(({ name }) => name))], ['untouched', 'iteration-0002', 'end']);
  assert.match(Buffer.from(await artifacts.getBlob(result.report!.html)).toString(), /<html/);
  const checkpoint = await artifacts.findManifest(keys.checkpoint('toy-1', 2), CheckpointManifest);
  assert.deepEqual(checkpoint!.ref, result.checkpoint);
  assert.deepEqual(
    checkpoint!.manifest.turns.map(({ turn }) => turn),
    [2, 1],
  );
});

test('the same seed gives the same bytes, every manifest of every step, and another run id changes nothing', async () => {
  const [one, two] = [await run('toy-2'), await run('toy-3')];
  const steps = await stepsOf(one.artifacts, 'toy-2');
  assert.ok(
    steps.has('iterations/0002/turn-01.json') &&
      steps.has('iterations/0002/checkpoint.json') &&
      steps.has('evaluations/0003-end-train.json'),
    [...steps.keys()].join(' '),
  );
  assert.deepEqual(await stepsOf(two.artifacts, 'toy-3'), steps);
});
