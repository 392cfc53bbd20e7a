import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Device, withStickyQueue } from '../../workers/device.js';

const HEAD_START_MS = 60;
const context = {
  slotType: 'activity',
  taskQueue: 'gpu',
  workerIdentity: 'w',
  workerBuildId: '',
  isSticky: false,
} as const;
const never = new AbortController().signal;

/** A device, an activity that lasts until it is told to end, and whether the shared queue is asked for a task. */
function device() {
  const place = new Device(HEAD_START_MS);
  let end = (): void => {};
  const held = () => new Promise<string>((resolve) => (end = () => resolve('done')));
  const activities = { updateTurn: held, collectRollouts: held };
  let polls = 0;
  const poll = () => place.shared.reserveSlot(context, never).then(() => void polls++);
  return {
    place,
    end: () => end(),
    polls: () => polls,
    poll,
    shared: place.queueWhileBusy(activities, (wait) => wait()),
    own: place.rejectWhileBusy(activities),
  };
}
const soon = () => sleep(5);

test('the shared queue has one poll at a time, and none while a step of the own queue is at work', async () => {
  const { place, poll, polls, own, end } = device();
  await poll();
  void poll();
  await soon();
  assert.equal(polls(), 1);
  const step = own.collectRollouts();
  place.shared.releaseSlot({ permit: {} });
  await soon();
  assert.equal(polls(), 1);
  end();
  await step;
  await soon();
  assert.equal(polls(), 2);
});

test('after an update the shared queue is asked only when the next one has had its head start; after other steps at once', async () => {
  const { poll, polls, shared, end } = device();
  const update = shared.updateTurn();
  end();
  await update;
  void poll();
  await sleep(HEAD_START_MS / 2);
  assert.equal(polls(), 0);
  await sleep(HEAD_START_MS);
  assert.equal(polls(), 1);
});

test('a step of the own queue that finds the device at work is refused; one of the shared queue waits', async () => {
  const { own, shared, end } = device();
  const first = own.collectRollouts();
  await assert.rejects(own.updateTurn(), { name: 'WorkerBusy' });
  let begun = false;
  const second = shared.collectRollouts().finally(() => (begun = true));
  await soon();
  assert.equal(begun, false);
  end();
  await first;
  await soon();
  end();
  assert.equal(await second, 'done');
});

test('a poll that is not wanted any more is given up', async () => {
  const { place, poll } = device();
  await poll();
  const stop = new AbortController();
  const waiting = place.shared.reserveSlot(context, stop.signal);
  stop.abort();
  await assert.rejects(waiting, (error) => error === stop.signal.reason);
});

test('results of updates name the queue of the worker that made them, other results do not', async () => {
  const { updateTurn, collectRollouts } = withStickyQueue('own', {
    updateTurn: async () => ({ a: 1 }),
    collectRollouts: async () => ({ a: 1 }),
  });
  assert.deepEqual([await updateTurn(), await collectRollouts()], [{ a: 1, warm: 'own' }, { a: 1 }]);
});
