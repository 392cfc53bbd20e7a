import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createCpuActivities, createGpuActivities } from '../activities/index.js';
import { withHeartbeats } from '../activities/heartbeats.js';
import { keys } from '../activities/artifacts/store.js';
import { CheckpointManifest } from '../schemas/checkpoint.js';
import type { TrainConfigInput } from '../schemas/train-config.js';
import type { train } from '../workflows/train.js';
import { toyConfig, toyDependencies } from './support/run-on-paper.js';
import { TabularPolicy } from './support/tabular-policy.js';
import { startTemporal, type TemporalUnderTest } from './support/temporal.js';
import { toyCodec } from './support/toy-codec.js';

/**
 * The whole pipeline, with everything real but the outside: real workflows on a real Temporal server,
 * every real activity; a store in memory, a game of one word, and a policy that is a table of four logits.
 */
let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

const RIGHT = 1;
const codec = { ...toyCodec(), decode: (ids: readonly number[]) => (ids[0] === RIGHT ? "CALL say('a')" : 'no') };
/** Its responses have no end-of-turn token: one of four words, and that is all. */
class OneWord extends TabularPolicy {
  override async sample(requests: Parameters<TabularPolicy['sample']>[0]) {
    return (await super.sample(requests)).map((response) => ({ ...response, end: 'token-limit' as const })) as never;
  }
}
const config: TrainConfigInput = {
  ...toyConfig,
  iterations: 3,
  rollout: { ...toyConfig.rollout, groupSize: 8 },
  algorithm: { name: 'seeupo', minibatches: 2 },
  optimizer: { learningRate: 0.5 },
  evaluation: { everyIterations: 2, samplesPerTask: 2 },
};

async function run(workflowId: string) {
  const { dependencies, artifacts } = toyDependencies();
  const everything = { ...dependencies, codec: async () => codec, policy: new OneWord(), heartbeats: withHeartbeats };
  const activities = { cpu: createCpuActivities(everything), gpu: createGpuActivities(everything) };
  const result = await temporal.withWorkers(activities, (taskQueue) =>
    temporal.environment.client.workflow.execute<typeof train>('train', { taskQueue, workflowId, args: [config] }),
  );
  const adapter = result.policy.adapter!;
  return { result, artifacts, adapter, logits: JSON.parse(Buffer.from(await artifacts.getBlob(adapter)).toString()) as number[] };
}

test('a run trains, evaluates and reports, and the policy comes to prefer the answer that is rewarded', async () => {
  const { result, artifacts, logits } = await run('toy-1');
  assert.equal(logits.indexOf(Math.max(...logits)), RIGHT, `${logits}`);
  assert.deepEqual([...new Set(result.evaluations.map(({ name }) => name))], ['untouched', 'iteration-0002', 'end']);
  assert.match(Buffer.from(await artifacts.getBlob(result.report!.html)).toString(), /<html/);
  const checkpoint = await artifacts.findManifest(keys.checkpoint('toy-1', 2), CheckpointManifest);
  assert.deepEqual(checkpoint!.ref, result.checkpoint);
  assert.deepEqual(checkpoint!.manifest.turns.map(({ turn }) => turn), [2, 1]);
});

/** Every object of a run by its key below the run's prefix; what says who the run is, or when it was, is left out. */
function stepsOf(objects: ReadonlyMap<string, Uint8Array>, runId: string): Map<string, string> {
  const own = [...objects].filter(([key]) => key.startsWith(keys.run(runId)) && !/\/(run\.json|owner\.json|timings\/.*|report-\d+\.json)$/.test(key));
  return new Map(own.map(([key, bytes]): [string, string] => [key.slice(keys.run(runId).length), Buffer.from(bytes).toString()]).sort());
}

test('the same seed gives the same bytes, every manifest of every step, and another run id changes nothing', async () => {
  const [one, two] = [await run('toy-2'), await run('toy-3')];
  const steps = stepsOf(one.artifacts.objects, 'toy-2');
  assert.ok(steps.has('iterations/0002/turn-01.json') && steps.has('iterations/0002/checkpoint.json') && steps.has('evaluations/0003-end-train.json'), [...steps.keys()].join(' '));
  assert.deepEqual(stepsOf(two.artifacts.objects, 'toy-3'), steps);
});
