import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { withStickyQueue, WorkerBusy } from '../../workers/device.js';
import { fakeActivities, fakeRun, type Call } from '../support/fake-activities.js';
import { causeOf, paused, type Handle } from '../support/run-on-fakes.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import type { train } from '../../workflows/train.js';
import * as messages from '../../workflows/messages.js';

/*
 * After a turn's update the next step goes first to the worker that made it. Here the activities compute nothing;
 * test/durability/affinity.test.ts does the same with real workers.
 */
let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

const OWN = 'own-queue-of-the-warm-worker';
let runs = 0;

interface Scheduled {
  readonly type: string;
  /** `shared` or `own`. */
  readonly queue: string;
  readonly end: string;
}

/** What an iteration's history says of its GPU steps that concern one policy, in their order. */
async function updatesOf(handle: Handle): Promise<Scheduled[]> {
  const { events } = await temporal.environment.client.workflow
    .getHandle(`${handle.workflowId}/iteration-0000`)
    .fetchHistory();
  const ends = new Map(
    (events ?? []).flatMap((event): [string, string][] => {
      const {
        activityTaskCompletedEventAttributes: completed,
        activityTaskTimedOutEventAttributes: timedOut,
        activityTaskFailedEventAttributes: failed,
        activityTaskCanceledEventAttributes: cancelled,
      } = event;
      if (completed) return [[String(completed.scheduledEventId), 'completed']];
      if (timedOut)
        return [[String(timedOut.scheduledEventId), `timed out ${timedOut.failure?.timeoutFailureInfo?.timeoutType}`]];
      if (failed) return [[String(failed.scheduledEventId), 'failed']];
      return cancelled ? [[String(cancelled.scheduledEventId), 'cancelled']] : [];
    }),
  );
  return (events ?? []).flatMap((event) => {
    const { activityType, taskQueue } = event.activityTaskScheduledEventAttributes ?? {};
    if (activityType?.name !== 'updateTurn' && activityType?.name !== 'applyGradients') return [];
    return [
      {
        type: activityType.name,
        queue: taskQueue!.name === OWN ? 'own' : 'shared',
        end: ends.get(String(event.eventId)) ?? 'open',
      },
    ];
  });
}

interface Scenario {
  readonly config?: Partial<typeof fakeRun>;
  /** The worker of the own queue sees each call first; null: it is not there. */
  readonly own: ((call: Call) => Promise<void> | void) | null;
  readonly work: (handle: Handle) => Promise<void>;
}

async function play({ config, own, work }: Scenario): Promise<{ updates: Scheduled[]; calls: Call[] }> {
  const shared = fakeActivities();
  const warm = fakeActivities(own ?? undefined);
  return temporal.withWorkers({ cpu: shared.cpu, gpu: withStickyQueue(OWN, shared.gpu) }, async (taskQueue) => {
    const start = () =>
      temporal.environment.client.workflow.start<typeof train>('train', {
        taskQueue,
        workflowId: `affine-${++runs}`,
        args: [{ ...fakeRun, turns: 3, ...config } as unknown as TrainConfigInput],
      });
    const played = async () => {
      const handle = await start();
      await work(handle);
      return { updates: await updatesOf(handle), calls: [...shared.calls, ...warm.calls] };
    };
    if (own === null) return played();
    const worker = await Worker.create({
      connection: temporal.environment.nativeConnection,
      taskQueue: OWN,
      activities: withStickyQueue(OWN, warm.gpu),
      maxConcurrentActivityTaskExecutions: 1,
      maxHeartbeatThrottleInterval: '100 ms',
      shutdownForceTime: '2 s',
    });
    return worker.runUntil(played);
  });
}
const completes = async (handle: Handle) => void (await handle.result());
/** Each turn's update, by where it was asked for and how that ended. */
const step = (queue: string, end = 'completed') => ({ type: 'updateTurn', queue, end });

test('the first update goes to anyone, each later one to the worker that made the one before, with no event more', async () => {
  const { updates } = await play({ own: () => {}, work: completes });
  assert.deepEqual(updates, [step('shared'), step('own'), step('own')]);
});

test('a worker that is gone is waited for once a turn and shortly: the shared queue takes the step, once', async () => {
  const { updates, calls } = await play({ own: null, work: completes });
  const SCHEDULE_TO_START = 2;
  const missed = step('own', `timed out ${SCHEDULE_TO_START}`);
  assert.deepEqual(updates, [step('shared'), missed, step('shared'), missed, step('shared')]);
  assert.deepEqual(
    calls.filter(({ name }) => name === 'updateTurn').map(({ input }) => input.turn),
    [3, 2, 1],
  );
});

test('a worker that is busy hands the step on at once', async () => {
  const { updates } = await play({
    own: () => {
      throw new WorkerBusy('at work for another run');
    },
    work: completes,
  });
  assert.deepEqual(updates, [
    step('shared'),
    step('own', 'failed'),
    step('shared'),
    step('own', 'failed'),
    step('shared'),
  ]);
});

test("steps that are spread over workers: the optimiser's step goes to the worker that made the one before, across turns", async () => {
  const { updates } = await play({
    config: { turns: 2, spread: { shards: 2, steps: 2 } },
    own: () => {},
    work: completes,
  });
  assert.deepEqual(
    updates,
    ['shared', 'own', 'own', 'own'].map((queue) => ({ type: 'applyGradients', queue, end: 'completed' })),
  );
});

test('a failure that no other worker would mend is not tried on another: the run pauses and says it', async () => {
  const { updates } = await play({
    own: () => {
      throw ApplicationFailure.nonRetryable('loss is NaN', 'NonFiniteLoss');
    },
    async work(handle) {
      await paused(handle);
      assert.match((await handle.query(messages.progress)).paused!, /updateTurn: NonFiniteLoss: loss is NaN/);
      await handle.terminate();
    },
  });
  assert.deepEqual(updates, [step('shared'), step('own', 'failed')]);
});

test('a run that is cancelled while the warm worker is at work ends cancelled, and asks nobody else', async () => {
  let reached = (): void => {};
  const there = new Promise<void>((resolve) => (reached = resolve));
  const { updates } = await play({
    async own({ name }) {
      if (name !== 'updateTurn') return;
      reached();
      const timer = setInterval(() => Context.current().heartbeat(), 50);
      await Context.current().cancelled.finally(() => clearInterval(timer));
    },
    async work(handle) {
      await there;
      await handle.cancel();
      assert.equal((await causeOf(handle)).name, 'CancelledFailure');
    },
  });
  assert.deepEqual(updates, [step('shared'), step('own', 'cancelled')]);
});
