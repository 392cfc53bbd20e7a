import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import proto from '@temporalio/proto';
import { withHeartbeats } from '../../activities/heartbeats.js';
import { createCpuActivities, createGpuActivities } from '../../activities/index.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import { toyConfig, toyDependencies } from '../support/run-on-paper.js';
import { TabularPolicy } from '../support/tabular-policy.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';
import { toyCodec } from '../support/toy-codec.js';

/**
 * An iteration of a thousand rollout shards and a turn update in a hundred: the real server, workflows and
 * activities; what costs nothing here is the model and the environment. The server's limits (1.29): 51,200
 * events, 50 MB a history, 2 MB a payload, 4 MB a message, 2,000 pending activities.
 */
const SHARDS = 1_000;
const UPDATE_SHARDS = 100;
let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

const codec = { ...toyCodec(), decode: (ids: readonly number[]) => (ids[0] === 1 ? "CALL say('a')" : 'no') };
class OneWord extends TabularPolicy {
  override async sample(requests: Parameters<TabularPolicy['sample']>[0]) {
    return (await super.sample(requests)).map((response) => ({ ...response, end: 'token-limit' as const })) as never;
  }
}
const config: TrainConfigInput = {
  ...toyConfig,
  iterations: 1,
  rollout: { ...toyConfig.rollout, groupSize: 2, tasksPerShard: 1 },
  update: { shards: UPDATE_SHARDS },
  optimizer: { learningRate: 0.5 },
  evaluation: { samplesPerTask: 1 },
};

const sizeOf = (event: proto.temporal.api.history.v1.IHistoryEvent): number =>
  proto.temporal.api.history.v1.HistoryEvent.encode(event).finish().length;

test(`${SHARDS} rollout shards and ${UPDATE_SHARDS} gradient shards an iteration stay far below the limits of the server`, async () => {
  const tasks = Array.from({ length: SHARDS }, (_, n) => ({ id: `task-${n}`, split: 'train' as const, turns: 2 }));
  const { dependencies } = toyDependencies([...tasks, { id: 'held-out', split: 'heldout', turns: 2 }]);
  const everything = { ...dependencies, codec: async () => codec, policy: new OneWord(), heartbeats: withHeartbeats };
  const began = performance.now();
  const { events, parent, bytes } = await temporal.withWorkers(
    { cpu: createCpuActivities(everything), gpu: createGpuActivities(everything) },
    async (taskQueue) => {
      const { workflow } = temporal.environment.client;
      const handle = await workflow.start('train', { taskQueue, workflowId: 'scale', args: [config] });
      await handle.result();
      const child = workflow.getHandle('scale/iteration-0000');
      return {
        events: (await child.fetchHistory()).events!,
        parent: (await handle.describe()).historyLength,
        bytes: Number((await child.describe()).raw.workflowExecutionInfo!.historySizeBytes),
      };
    },
  );
  const seconds = (performance.now() - began) / 1000;
  const scheduled = events.filter(({ activityTaskScheduledEventAttributes: activity }) => activity).length;
  const largest = Math.max(...events.map(sizeOf));
  // All commands of a workflow task travel in one message.
  const byTask = new Map<string, number>();
  for (const event of events) {
    const task = event.activityTaskScheduledEventAttributes?.workflowTaskCompletedEventId;
    if (task) byTask.set(String(task), (byTask.get(String(task)) ?? 0) + sizeOf(event));
  }
  const message = Math.max(...byTask.values());
  console.log(
    `# ${scheduled} activities in ${seconds.toFixed(0)} s: the iteration's history has ${events.length} events, ${(bytes / 1e6).toFixed(1)} MB, ` +
      `its largest event ${(largest / 1e3).toFixed(0)} kB, its largest message ${(message / 1e6).toFixed(2)} MB; the run's has ${parent} events`,
  );
  assert.equal(scheduled, SHARDS + 1 + 1 + 2 * (UPDATE_SHARDS + 1 + UPDATE_SHARDS + 1) + 1); // rollout, group, score, two turns of one step, commit
  assert.ok(events.length < 51_200 / 4, `${events.length} events`);
  assert.ok(bytes < 50e6 / 4, `${bytes} bytes`);
  assert.ok(largest < 2e6 / 4, `an event of ${largest} bytes`);
  assert.ok(message < 4e6 / 1.5, `a message of ${message} bytes`);
});
