import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import * as messages from '../../workflows/messages.js';
import type { train } from '../../workflows/train.js';
import { withStickyQueue } from '../../workers/device.js';
import { fakeActivities, fakeRun, type Call, type FakeRun } from './fake-activities.js';
import { startTemporal } from './temporal.js';

export interface RecordedRun {
  readonly name: string;
  readonly workflowId: string;
  readonly history: { readonly events?: unknown[] };
}

interface Scenario {
  readonly name: string;
  readonly fake: Partial<FakeRun>;
  /** Queue on which updates say that their worker is asked first; left out: none. */
  readonly warm?: string;
  readonly before: (call: Call) => Promise<void> | void;
  readonly steer: (handle: WorkflowHandle<typeof train>) => Promise<void>;
}

let failing = true;
const scenarios: readonly Scenario[] = [
  {
    name: 'completed',
    fake: { iterations: 2, warmStart: true, evaluateEvery: 1 },
    before: () => {},
    steer: async () => {},
  },
  {
    name: 'failed-paused-resumed-stopped',
    fake: { iterations: 9 },
    before({ name, input }) {
      if (failing && name === 'updateTurn' && input.iteration === 1)
        throw ApplicationFailure.nonRetryable('loss is NaN', 'NonFiniteLoss');
    },
    async steer(handle) {
      await handle.signal(messages.pause, 'to look at it');
      await sleep(500);
      await handle.signal(messages.resume);
      while ((await handle.query(messages.progress)).paused === null) await sleep(50);
      failing = false;
      await handle.signal(messages.resume);
      while ((await handle.query(messages.progress)).iteration < 2) await sleep(50);
      await handle.signal(messages.stop);
    },
  },
  {
    name: 'cancelled',
    fake: { iterations: 3 },
    async before({ name, input }) {
      if (name !== 'updateTurn' || input.iteration !== 1) return;
      const context = Context.current();
      const timer = setInterval(() => context.heartbeat(), 50);
      await context.cancelled.finally(() => clearInterval(timer));
    },
    async steer(handle) {
      while ((await handle.query(messages.progress)).iteration < 1) await sleep(50);
      await sleep(500);
      await handle.cancel();
    },
  },
  {
    name: 'paused-changed-continued',
    fake: { iterations: 6, shards: 1, turns: 1 },
    before: ({ name, input }) => (name === 'groupRollouts' && input.iteration === 0 ? sleep(1500) : undefined),
    async steer(handle) {
      while ((await handle.query(messages.progress)).child === null) await sleep(50);
      await handle.executeUpdate(messages.orderPause, { args: ['to change the learning rate'] });
      await handle.executeUpdate(messages.changeSettings, { args: [{ optimizer: { learningRate: 1e-4 } }] });
      await handle.executeUpdate(messages.extendIterations, { args: [8] });
      await handle.executeUpdate(messages.evaluateNow);
      await handle.executeUpdate(messages.orderResume);
    },
  },
  { name: 'warm-worker-gone', fake: { shards: 1 }, warm: 'nobody-takes-this', before: () => {}, steer: async () => {} },
  { name: 'continued-as-new', fake: { iterations: 8, shards: 1, turns: 1 }, before: () => {}, steer: async () => {} },
];

/** Plays the scenarios, or some of them, on a real server and returns the histories of every workflow in them. */
export async function recordedRuns(
  names: readonly string[] = scenarios.map(({ name }) => name),
): Promise<RecordedRun[]> {
  const temporal = await startTemporal(60);
  const recorded: RecordedRun[] = [];
  try {
    for (const { name, fake, warm, before, steer } of scenarios.filter((scenario) => names.includes(scenario.name))) {
      const { cpu, gpu } = fakeActivities(before);
      await temporal.withWorkers(
        { cpu, gpu: warm === undefined ? gpu : withStickyQueue(warm, gpu) },
        async (taskQueue) => {
          const { workflow } = temporal.environment.client;
          const handle = await workflow.start<typeof train>('train', {
            taskQueue,
            workflowId: name,
            args: [{ ...fakeRun, ...fake } as unknown as TrainConfigInput],
          });
          await steer(handle);
          await handle.result().catch(() => {});
          // The newest execution of the chain, the first one if it is another, and one child.
          const executions: { name: string; workflowId: string; runId?: string }[] = [{ name, workflowId: name }];
          const { runId } = await workflow.getHandle(name).describe();
          if (runId !== handle.firstExecutionRunId)
            executions.push({ name: `${name}-first`, workflowId: name, runId: handle.firstExecutionRunId });
          const iteration =
            ['completed', 'warm-worker-gone'].includes(name) || name.includes('continued') ? '0000' : '0001';
          executions.push({ name: `${name}-iteration`, workflowId: `${name}/iteration-${iteration}` });
          for (const execution of executions) {
            const history = await workflow.getHandle(execution.workflowId, execution.runId).fetchHistory();
            recorded.push({
              name: execution.name,
              workflowId: execution.workflowId,
              history: JSON.parse(historyToJSON(history)) as RecordedRun['history'],
            });
          }
        },
      );
    }
  } finally {
    await temporal.stop();
  }
  return recorded;
}
