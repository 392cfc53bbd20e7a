import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ActivityRecord } from '../../../scripts/chaos/histories.js';
import { recoveryAfter } from '../../../scripts/chaos/trial.js';

/** Times in seconds; the worker is killed at 100. */
const KILLED = 100_000;
const activity = (scheduled: number, started: number, rest: Partial<ActivityRecord> = {}): ActivityRecord => ({
  workflowId: 'run/iteration-0000',
  type: 'updateTurn',
  attempts: 1,
  completed: true,
  worker: '1@h',
  scheduledAt: 1000 * scheduled,
  startedAt: 1000 * started,
  ...rest,
});

test('a step of the shared queue is begun again by its second attempt', () => {
  assert.deepEqual(
    recoveryAfter(KILLED, [activity(50, 50), activity(95, 131, { attempts: 2 }), activity(140, 140)]),
    [31],
  );
});

test("a step of a worker's own queue is given up with it and begun again on the shared one", () => {
  const givenUp = activity(95, 95, { completed: false });
  const others = [activity(96, 140, { type: 'collectRollouts' }), activity(130, 131, { workflowId: 'another' })];
  assert.deepEqual(recoveryAfter(KILLED, [givenUp, ...others, activity(131, 132), activity(150, 150)]), [32]);
});

test('a kill that no step was lost to has no recovery', () => {
  assert.deepEqual(recoveryAfter(KILLED, [activity(50, 50), activity(101, 101)]), []);
  assert.deepEqual(recoveryAfter(KILLED, [activity(120, 150, { attempts: 2 })]), [], 'lost to a later fault');
});
