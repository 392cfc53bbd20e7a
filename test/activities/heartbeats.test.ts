import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { withHeartbeating, withHeartbeats } from '../../activities/heartbeats.js';

test('the first heartbeat goes out at once, and work returns its value', async () => {
  const environment = new MockActivityEnvironment();
  const beats: unknown[] = [];
  environment.on('heartbeat', (details: unknown) => beats.push(details));
  assert.equal(await environment.run(() => withHeartbeats(async () => 42)), 42);
  assert.deepEqual(beats, [{ phase: 'start', done: 0, of: 0 }]);
});

test('the latest progress goes out with the timer, not with each report', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const environment = new MockActivityEnvironment();
  const beats: unknown[] = [];
  environment.on('heartbeat', (details: unknown) => beats.push(details));
  await environment.run(() =>
    withHeartbeats(async (report) => {
      for (let done = 1; done <= 3; done++) report({ phase: 'decode', done, of: 9 });
      t.mock.timers.tick(5_000);
    }),
  );
  assert.deepEqual(beats.slice(1), [{ phase: 'decode', done: 3, of: 9 }]);
});

test('a cancelled activity stops at its next report', async () => {
  const environment = new MockActivityEnvironment();
  let steps = 0;
  const running = environment.run(() =>
    withHeartbeats(async (report) => {
      for (;;) {
        report({ phase: 'step', done: ++steps, of: 1000 });
        if (steps === 3) environment.cancel();
        await sleep(1);
      }
    }),
  );
  await assert.rejects(running, CancelledFailure);
  assert.ok(steps <= 5, `${steps} steps`);
});

test('an error that the cancellation became on its way through a thread is a cancellation again', async () => {
  const environment = new MockActivityEnvironment();
  const running = environment.run(() =>
    withHeartbeats(async (_, cancelled) => {
      const broken = new Promise((_, reject) =>
        cancelled.addEventListener('abort', () => reject(new Error('something else'))),
      );
      environment.cancel();
      await broken;
    }),
  );
  await assert.rejects(running, CancelledFailure);
});

test('any other error stays what it is', async () => {
  const running = new MockActivityEnvironment().run(() => withHeartbeats(() => Promise.reject(new RangeError('mine'))));
  await assert.rejects(running, RangeError);
});

test('an activity that reports nothing beats as well, so that the death of its worker is noticed', async () => {
  const environment = new MockActivityEnvironment();
  const beats: unknown[] = [];
  environment.on('heartbeat', (details: unknown) => beats.push(details));
  const { double } = withHeartbeating(withHeartbeats, { double: async (n: number) => 2 * n });
  assert.equal(await environment.run(() => double(4)), 8);
  assert.equal(beats.length, 1);
});
