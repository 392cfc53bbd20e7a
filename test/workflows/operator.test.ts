import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ApplicationFailure } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import * as messages from '../../workflows/messages.js';
import type { train } from '../../workflows/train.js';
import { fakeActivities, fakeRun, policyState, type Call } from '../support/fake-activities.js';
import { causeOf, gate, operator, paused, runOnFakes, until, type Handle } from '../support/run-on-fakes.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';

/** What an operator types, against the real server: the Temporal CLI, its answers and its refusals. */
let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

const update = (handle: Handle, name: string, input?: unknown) =>
  operator(
    temporal,
    handle,
    'update execute',
    '--name',
    name,
    ...(input === undefined ? [] : ['--input', JSON.stringify(input)]),
  );
const signal = (handle: Handle, name: string, input?: unknown) =>
  operator(
    temporal,
    handle,
    'signal',
    '--name',
    name,
    ...(input === undefined ? [] : ['--input', JSON.stringify(input)]),
  );
const answered = async (work: Promise<{ ok: boolean; says: string }>, what: RegExp) => {
  const { ok, says } = await work;
  assert.ok(ok, says);
  assert.match(says, what);
};
const refused = async (work: Promise<{ ok: boolean; says: string }>, why: RegExp) => {
  const { ok, says } = await work;
  assert.ok(!ok, `it was not refused: ${says}`);
  assert.match(says, why);
};
const reachedCommit = (calls: readonly Call[], k: number) =>
  until(`iteration ${k}`, () => calls.some(({ name, input }) => name === 'groupRollouts' && input.iteration === k));

test('pause is answered and refused the second time; resume too; both leave their mark in the Web UI', async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 0);
  await runOnFakes(temporal, { iterations: 2 }, held.before, async (handle, calls) => {
    await reachedCommit(calls, 0);
    await refused(update(handle, 'resume'), /not paused: iteration 1 is under way/);
    await answered(update(handle, 'pause', 'to look'), /iteration 1 is finished first/);
    await refused(update(handle, 'pause'), /paused already: to look/);
    held.release();
    await until('commit', async () => (await handle.query(messages.progress)).iteration === 1);
    const metadata = await operator(temporal, handle, 'metadata');
    assert.match(metadata.says, /Paused.*to look/s);
    for (const name of ['pause', 'resume', 'stop', 'abort', 'changeSettings', 'extendIterations', 'evaluateNow'])
      assert.match(metadata.says, new RegExp(name));
    await answered(update(handle, 'resume'), /the run continues; it was paused: to look/);
    assert.equal((await handle.result()).iterations, 2);
  });
});

test('pause and resume as signals do the same, unanswered', async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 0);
  await runOnFakes(temporal, { iterations: 2 }, held.before, async (handle, calls) => {
    await reachedCommit(calls, 0);
    await answered(signal(handle, 'pause', 'lunch'), /succeeded/i);
    held.release();
    await paused(handle);
    await answered(signal(handle, 'resume'), /succeeded/i);
    assert.equal((await handle.result()).iterations, 2);
  });
});

test('stop ends after the iteration under way, evaluates and reports', async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 1);
  await runOnFakes(temporal, { iterations: 9 }, held.before, async (handle, calls) => {
    await reachedCommit(calls, 1);
    await refused(update(handle, 'stop', 'now'), /"now" is neither "turn" nor "iteration"/);
    await answered(update(handle, 'stop'), /ends after iteration 2, evaluates and reports/);
    await refused(update(handle, 'stop'), /stopping already, after iteration 2/);
    held.release();
    const { iterations, report } = await handle.result();
    assert.deepEqual([iterations, report?.html.key], [2, 'report.html']);
  });
});

test('stop after the turn ends before the next turn; the iteration does not count, and theta is the last checkpoint', async () => {
  const held = gate(({ name, input }) => name === 'updateTurn' && input.iteration === 1 && input.turn === 3);
  await runOnFakes(temporal, { iterations: 9, turns: 3 }, held.before, async (handle, calls) => {
    await until('turn 3', () => calls.some(({ name, input }) => name === 'updateTurn' && input.iteration === 1));
    await answered(update(handle, 'stop', 'turn'), /ends after the turn under way/);
    held.release();
    const { iterations, policy } = await handle.result();
    assert.deepEqual([iterations, policy], [1, policyState('0/turn-1')]);
    assert.deepEqual(
      calls.filter(({ name, input }) => name === 'updateTurn' && input.iteration === 1).map(({ input }) => input.turn),
      [3],
    );
    assert.equal(calls.find(({ name }) => name === 'writeReport')!.input.completedIterations, 1);
  });
});

test('abort gives the step under way up at once and ends the run as failed, with the reason', async () => {
  const held = gate(({ name }) => name === 'updateTurn');
  await runOnFakes(temporal, {}, held.before, async (handle, calls) => {
    await until('update', () => calls.some(({ name }) => name === 'updateTurn'));
    await refused(update(handle, 'abort', 3), /abort: the reason is 3, must be text/);
    await answered(update(handle, 'abort', 'not worth it'), /iteration 1 is given up/);
    held.release();
    assert.match((await causeOf(handle)).message, /aborted: not worth it/);
    assert.ok(!calls.some(({ name }) => name === 'commitCheckpoint'));
  });
});

test('settings change from the next iteration on: the one under way keeps its own', async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 0);
  await runOnFakes(temporal, { iterations: 3 }, held.before, async (handle, calls) => {
    await reachedCommit(calls, 0);
    const change = { optimizer: { learningRate: 1e-4 }, algorithm: { clip: { low: 0.1 } } };
    await answered(update(handle, 'changeSettings', change), /learningRate:0.0001.*fromIteration:2/);
    held.release();
    await handle.result();
    assert.deepEqual(calls.find(({ name }) => name === 'reviseSettings')!.input.from, 1);
    const settingsOf = (k: number) =>
      new Set(
        calls
          .filter(({ input }) => input.iteration === k)
          .map(({ input }) => (input.run as { settings: { key: string } }).settings.key),
      );
    const [first, ...later] = [0, 1, 2].map(settingsOf);
    assert.deepEqual([...first!], [`${handle.workflowId}/settings`]);
    for (const settings of later) assert.deepEqual([...settings], ['settings-1']);
    assert.match(
      (await operator(temporal, handle, 'metadata')).says,
      /from iteration 2: optimizer.learningRate 0.0001, algorithm.clip.low 0.1/,
    );
  });
});

test('changes that are asked for at once are made one after the other, each on the one before', async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 0);
  await runOnFakes(temporal, { iterations: 2 }, held.before, async (handle, calls) => {
    await reachedCommit(calls, 0);
    await Promise.all(
      [1, 2, 3].map((n) =>
        handle.executeUpdate(messages.changeSettings, { args: [{ optimizer: { learningRate: n / 1000 } }] }),
      ),
    );
    held.release();
    await handle.result();
    const revisions = calls
      .filter(({ name }) => name === 'reviseSettings')
      .map(({ input }) => [input.revision, (input.run as { settings: { key: string } }).settings.key]);
    assert.deepEqual(revisions, [
      [1, `${handle.workflowId}/settings`],
      [2, 'settings-1'],
      [3, 'settings-2'],
    ]);
  });
});

test('a change that cannot be is refused with what can, and so is one that the whole configuration cannot bear', async () => {
  const held = gate(({ name }) => name === 'groupRollouts');
  const before = (call: Call) => {
    if (call.name === 'reviseSettings' && call.input.revision === 1)
      throw ApplicationFailure.nonRetryable('rollout.tasksPerIteration is 99, but there are 8: lower it', 'BadConfig');
    return held.before(call);
  };
  await runOnFakes(temporal, {}, before, async (handle, calls) => {
    await reachedCommit(calls, 0);
    await refused(
      update(handle, 'changeSettings', { seed: 2 }),
      /seed cannot change during a run, only optimizer.learningRate, .* can: start a run with forkFrom/,
    );
    await refused(
      update(handle, 'changeSettings', { optimizer: { learningRate: -1 } }),
      /optimizer.learningRate is -1: must be a positive number/,
    );
    await refused(
      update(handle, 'changeSettings', { rollout: { groupSize: 1 } }),
      /rollout.groupSize is 1: must be a whole number, at least 2/,
    );
    await refused(update(handle, 'changeSettings', {}), /empty: name at least one setting/);
    await refused(update(handle, 'changeSettings'), /must be a part of the configuration/);
    assert.ok(!calls.some(({ name }) => name === 'reviseSettings'));
    await refused(
      update(handle, 'changeSettings', { rollout: { tasksPerIteration: 99 } }),
      /BadConfig: rollout.tasksPerIteration is 99, but there are 8/,
    );
    held.release();
    await handle.result();
  });
});

test('the run goes on to the new total of extendIterations, which must be a larger one', async () => {
  const held = gate(({ name }) => name === 'groupRollouts');
  await runOnFakes(temporal, { iterations: 1 }, held.before, async (handle, calls) => {
    await reachedCommit(calls, 0);
    await refused(update(handle, 'extendIterations', 1), /the new total is 1, must be a whole number above 1/);
    await answered(update(handle, 'extendIterations', 3), /fromIteration:2/);
    held.release();
    assert.equal((await handle.result()).iterations, 3);
  });
});

test('evaluateNow answers with the evaluation of theta, also while paused, and training goes on', async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 0);
  await runOnFakes(temporal, { iterations: 2 }, held.before, async (handle, calls) => {
    await reachedCommit(calls, 0);
    await update(handle, 'pause', 'to evaluate');
    const asked = update(handle, 'evaluateNow');
    held.release();
    await answered(asked, /iteration-0001.*meanReward/s);
    assert.equal((await handle.query(messages.progress)).paused, 'to evaluate');
    assert.deepEqual(
      calls
        .filter(({ name, input }) => name === 'evaluatePolicy' && input.name === 'iteration-0001')
        .map(({ input }) => input.iterationsDone),
      [1, 1],
    );
    await update(handle, 'resume');
    assert.equal((await handle.result()).iterations, 2);
  });
});

test("an evaluation that was asked for and fails is its asker's to hear of: training goes on", async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 0);
  const before = (call: Call) => {
    if (call.name === 'evaluatePolicy' && call.input.name === 'iteration-0001')
      throw ApplicationFailure.nonRetryable('no such task', 'BadConfig');
    return held.before(call);
  };
  await runOnFakes(temporal, { iterations: 2 }, before, async (handle, calls) => {
    await reachedCommit(calls, 0);
    const asked = update(handle, 'evaluateNow');
    held.release();
    await refused(asked, /evaluatePolicy: BadConfig: no such task/);
    assert.equal((await handle.result()).iterations, 2);
  });
});

test('cancel ends the run CANCELED though no GPU worker lives, and says where the last good checkpoint is', async () => {
  // The step was taken by a worker that died: it neither heartbeats nor answers; and another one waits in the queue.
  const held = gate(({ name, input }) => name === 'updateTurn' && input.iteration === 1);
  await runOnFakes(temporal, { iterations: 3 }, held.before, async (handle, calls) => {
    await until('update', () => calls.some(({ name, input }) => name === 'updateTurn' && input.iteration === 1));
    await answered(operator(temporal, handle, 'cancel'), /cancel/i);
    assert.ok((await causeOf(handle)) instanceof CancelledFailure);
    assert.equal((await handle.describe()).status.name, 'CANCELLED');
    assert.match((await operator(temporal, handle, 'metadata')).says, /0\/checkpoint/);
    held.release();
  });
});

test('cancel before any GPU worker has taken the step ends the run CANCELED at once', async () => {
  const { environment, bundle } = temporal;
  const control = await Worker.create({
    connection: environment.nativeConnection,
    taskQueue: 'alone-control',
    workflowBundle: bundle,
    activities: fakeActivities().cpu,
  });
  await control.runUntil(async () => {
    const handle = await environment.client.workflow.start<typeof train>('train', {
      taskQueue: 'alone-control',
      workflowId: 'alone',
      args: [fakeRun as unknown as TrainConfigInput],
    });
    await until('evaluation', async () => (await handle.query(messages.progress)).phase === 'evaluate untouched');
    await handle.cancel();
    assert.ok((await causeOf(handle)) instanceof CancelledFailure);
  });
});
