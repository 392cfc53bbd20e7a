import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import type { PolicyState } from '../../schemas/turn-state.js';
import * as messages from '../../workflows/messages.js';
import { policyState, spelled, type Call, type FakeRun } from '../support/fake-activities.js';
import { causeOf, paused, runOnFakes, until, type Handle } from '../support/run-on-fakes.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';

let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

const run = <R>(
  fake: Partial<FakeRun>,
  { before, on = temporal }: { before?: (call: Call) => Promise<void> | void; on?: TemporalUnderTest },
  work: (handle: Handle, calls: Call[]) => Promise<R>,
): Promise<R> => runOnFakes(on, fake, before, work);

/** Shards of a rollout and splits of an evaluation run side by side: sorts them among each other, and nothing else. */
function orderedWithinSteps(lines: readonly string[]): string[] {
  const stepOf = (line: string) => line.replace(/ shard=\d+/, '').replace(/\/(train|heldout) /, ' ');
  const steps: string[][] = [];
  for (const line of lines) {
    if (steps.length > 0 && stepOf(steps.at(-1)![0]!) === stepOf(line)) steps.at(-1)!.push(line);
    else steps.push([line]);
  }
  return steps.flatMap((step) => step.sort());
}

test('a turn that is spread: the shards of each step at once, then their sum in order, then the ratios, then the commit', async () => {
  await run({ turns: 1, spread: { shards: 3, steps: 2 } }, {}, async (handle, calls) => {
    await handle.result();
    const update = calls.filter(({ name }) =>
      ['computeGradient', 'applyGradients', 'measureRatios', 'finishTurn'].includes(name),
    );
    const told = update.map(
      ({ name, input }) =>
        `${name} ${input.step ?? ''}${input.shard ?? ''} of ${(input.stepped as PolicyState).adapter?.key ?? 'theta_k'}`,
    );
    const summed = (step: number) =>
      `0/theta-1-${step} of ${[0, 1, 2].map((shard) => `gradient-1-${step}-${shard}`).join('+')}`;
    const sorted = (lines: string[]) => [...lines].sort();
    assert.deepEqual(sorted(told.slice(0, 3)), [
      'computeGradient 00 of theta_k',
      'computeGradient 01 of theta_k',
      'computeGradient 02 of theta_k',
    ]);
    assert.equal(told[3], 'applyGradients 0 of theta_k');
    assert.deepEqual(
      sorted(told.slice(4, 7)),
      [0, 1, 2].map((shard) => `computeGradient 1${shard} of ${summed(0)}`),
    );
    assert.equal(told[7], `applyGradients 1 of ${summed(0)}`);
    assert.deepEqual(
      sorted(told.slice(8, 11)),
      [0, 1, 2].map((shard) => `measureRatios ${shard} of ${summed(1)}`),
    );
    assert.deepEqual(told.slice(11), [`finishTurn  of ${summed(1)}`]);
    assert.ok(!calls.some(({ name }) => name === 'updateTurn'));
  });
});

test('Algorithm 1: the activities of a run, in order, each with the theta that the one before it made', async () => {
  await run({ iterations: 2, warmStart: true, turns: 3, evaluateEvery: 1 }, {}, async (handle, calls) => {
    const result = await handle.result();
    const scheduled = orderedWithinSteps(calls.map(spelled));
    const evaluation = (name: string, theta: string) =>
      ['train', 'heldout'].map((split) => `evaluatePolicy ${name}/${split} theta=${theta}`);
    const iteration = (k: number, theta: string) => [
      `collectRollouts k=${k} shard=0 theta=${theta}`,
      `collectRollouts k=${k} shard=1 theta=${theta}`,
      `groupRollouts k=${k}`,
      `scoreTrajectories k=${k} theta=${theta}`,
      `updateTurn k=${k} t=3 theta=${theta} M=A`,
      `updateTurn k=${k} t=2 theta=${k}/theta-3 M=${k}/suffix-3`,
      `updateTurn k=${k} t=1 theta=${k}/theta-2 M=${k}/suffix-2`,
      `commitCheckpoint k=${k}`,
    ];
    const expected = [
      'openRun',
      ...evaluation('untouched', 'untouched'),
      'warmStart',
      ...evaluation('start', 'warm'),
      ...iteration(0, 'warm'),
      ...evaluation('iteration-0001', '0/turn-1'),
      ...iteration(1, '0/turn-1'),
      ...evaluation('end', '1/turn-1'),
      'writeReport K=2',
      'releaseRun',
    ];
    assert.deepEqual(scheduled, orderedWithinSteps(expected));
    assert.deepEqual([result.runId, result.iterations, result.policy], [handle.workflowId, 2, policyState('1/turn-1')]);
    assert.deepEqual(
      result.evaluations.map(({ name, split }) => `${name}/${split}`),
      ['untouched', 'start', 'iteration-0001', 'end'].flatMap((name) => [`${name}/train`, `${name}/heldout`]),
    );
    // What commitCheckpoint is handed: manifests by shard, turn states in the order of the updates.
    const commit = calls.find(({ name }) => name === 'commitCheckpoint')!.input as Record<string, { key: string }[]>;
    assert.deepEqual(
      commit.rollouts!.map(({ key }) => key),
      ['0/rollout-0', '0/rollout-1'],
    );
    assert.deepEqual(
      commit.turnStates!.map(({ key }) => key),
      ['0/turn-3', '0/turn-2', '0/turn-1'],
    );
  });
});

test('without a warm start the untouched policy is the start, and is evaluated once; forward order runs from 1 to T', async () => {
  await run({ updateOrder: 'forward' }, {}, async (handle, calls) => {
    await handle.result();
    assert.deepEqual(
      calls.filter(({ name }) => name === 'evaluatePolicy').map(({ input }) => input.name),
      ['untouched', 'untouched', 'end', 'end'],
    );
    assert.deepEqual(
      calls.filter(({ name }) => name === 'updateTurn').map(({ input }) => input.turn),
      [1, 2],
    );
  });
});

test('an activity that fails for the moment is tried again', async () => {
  let failures = 2;
  const before = ({ name }: Call) => {
    if (name === 'updateTurn' && failures-- > 0)
      throw ApplicationFailure.create({ message: 'store is down', nextRetryDelay: '10 ms' });
  };
  await run({}, { before }, async (handle, calls) => {
    await handle.result();
    assert.deepEqual(
      calls.filter(({ name }) => name === 'updateTurn').map(({ input }) => input.turn),
      [2, 2, 2, 1],
    );
  });
});

test('a wrong configuration ends the run at once, with the message of openRun', async () => {
  const before = ({ name }: Call) => {
    if (name === 'openRun')
      throw ApplicationFailure.nonRetryable('rolout is no setting: did you mean "rollout"?', 'BadConfig');
  };
  await run({}, { before }, async (handle, calls) => {
    const cause = (await causeOf(handle)).cause as ApplicationFailure;
    assert.deepEqual([cause.type, cause.message], ['BadConfig', 'rolout is no setting: did you mean "rollout"?']);
    assert.equal(calls.length, 1);
  });
});

test('a failure that no retry mends pauses the run, says why, and `resume` tries the step again', async () => {
  let broken = true;
  const before = ({ name }: Call) => {
    if (name === 'scoreTrajectories' && broken) throw ApplicationFailure.nonRetryable('loss is NaN', 'NonFiniteLoss');
  };
  await run({}, { before }, async (handle, calls) => {
    await paused(handle);
    assert.match(
      (await handle.query(messages.progress)).paused!,
      /iteration 1 failed.*scoreTrajectories: NonFiniteLoss: loss is NaN/,
    );
    const metadata = await handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata');
    assert.match(metadata.currentDetails!, /Paused.*loss is NaN/s);
    assert.equal(calls.filter(({ name }) => name === 'scoreTrajectories').length, 1);
    broken = false;
    await handle.signal(messages.resume);
    assert.equal((await handle.result()).iterations, 1);
  });
});

test('an iteration that is lost begins again by itself, twice, then the run pauses', async () => {
  const lose = async ({ name, input }: Call) => {
    if (name !== 'scoreTrajectories') return;
    const { runId } = (input as { run: { runId: string } }).run;
    await temporal.environment.client.workflow.getHandle(`${runId}/iteration-0000`).terminate('the test says so');
  };
  await run({ shards: 1 }, { before: lose }, async (handle, calls) => {
    await paused(handle);
    assert.match((await handle.query(messages.progress)).paused!, /iteration 1 failed.*terminated/i);
    assert.equal(calls.filter(({ name }) => name === 'collectRollouts').length, 3);
    await handle.signal(messages.abort);
    await causeOf(handle);
  });
});

test('`abort` ends a paused run as failed, with the reason', async () => {
  const before = ({ name }: Call) => {
    if (name === 'warmStart') throw ApplicationFailure.nonRetryable('no demonstrations', 'BadConfig');
  };
  await run({ warmStart: true }, { before }, async (handle) => {
    await paused(handle);
    await handle.signal(messages.abort, 'not worth it');
    assert.match((await causeOf(handle)).message, /aborted: not worth it/);
  });
});

test('`stop` leaves out the step that failed, then evaluates and reports what there is', async () => {
  const before = ({ name, input }: Call) => {
    if (name === 'groupRollouts' && input.iteration === 1)
      throw ApplicationFailure.nonRetryable('broken', 'ShapeError');
  };
  await run({ iterations: 5 }, { before }, async (handle, calls) => {
    await paused(handle);
    await handle.signal(messages.stop);
    const result = await handle.result();
    assert.deepEqual(
      [result.iterations, result.policy, result.report?.html.key],
      [1, policyState('0/turn-1'), 'report.html'],
    );
    assert.equal(calls.find(({ name }) => name === 'writeReport')!.input.completedIterations, 1);
  });
});

test('`pause` holds the next iteration until `resume`; `stop` ends after the one under way', async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const before = ({ name, input }: Call) => (name === 'groupRollouts' && input.iteration === 0 ? held : undefined);
  await run({ iterations: 9 }, { before }, async (handle, calls) => {
    await until('iteration', () => calls.some(({ name }) => name === 'groupRollouts'));
    await handle.signal(messages.pause, 'lunch');
    release();
    await until('commit', async () => (await handle.query(messages.progress)).iteration === 1);
    assert.equal((await handle.query(messages.progress)).paused, 'lunch');
    await sleep(300);
    assert.ok(!calls.some(({ input }) => input.iteration === 1), 'iteration 1 began during the pause');
    await handle.signal(messages.resume);
    await until('iteration 1', () => calls.some(({ input }) => input.iteration === 1));
    await handle.signal(messages.stop);
    const { iterations } = await handle.result();
    assert.ok(iterations >= 2 && iterations < 9, `${iterations} iterations`);
  });
});

test('cancelling tells the activity, and parent and child end CANCELED', async () => {
  let told = false;
  const before = async ({ name }: Call) => {
    if (name !== 'updateTurn') return;
    const context = Context.current();
    const timer = setInterval(() => context.heartbeat(), 50);
    try {
      await context.cancelled;
    } catch (error) {
      told = error instanceof CancelledFailure;
      throw error;
    } finally {
      clearInterval(timer);
    }
  };
  await run({}, { before }, async (handle, calls) => {
    await until('update', () => calls.some(({ name }) => name === 'updateTurn'));
    const { child } = await handle.query(messages.progress);
    assert.equal(child, `${handle.workflowId}/iteration-0000`);
    const inner = temporal.environment.client.workflow.getHandle(child);
    assert.deepEqual(await inner.query(messages.iterationProgress), {
      iteration: 0,
      phase: 'update turn',
      turn: 2,
      turns: 2,
    });
    await handle.cancel();
    assert.ok((await causeOf(handle)) instanceof CancelledFailure);
    assert.ok(told);
    assert.deepEqual(
      [(await handle.describe()).status.name, (await inner.describe()).status.name],
      ['CANCELLED', 'CANCELLED'],
    );
  });
});

test('continue-as-new when the server suggests it carries theta, curve, position and what openRun told', async () => {
  const small = await startTemporal(60);
  try {
    await run(
      { iterations: 8, shards: 1, turns: 1, inertSettings: ['algorithm.clip never acts'] },
      { on: small },
      async (handle, calls) => {
        const result = await handle.result();
        assert.equal(result.iterations, 8);
        assert.deepEqual(
          calls.filter(({ name }) => name === 'commitCheckpoint').map(({ input }) => input.iteration),
          [0, 1, 2, 3, 4, 5, 6, 7],
        );
        assert.equal(calls.filter(({ name }) => name === 'openRun').length, 1);
        assert.deepEqual(
          result.evaluations.map(({ name }) => name),
          ['untouched', 'untouched', 'end', 'end'],
        );
        assert.deepEqual((await handle.query(messages.progress)).inertSettings, ['algorithm.clip never acts']);
        const executions = [];
        for await (const execution of small.environment.client.workflow.list({
          query: `WorkflowId = "${handle.workflowId}"`,
        }))
          executions.push(execution.status.name);
        assert.ok(executions.includes('CONTINUED_AS_NEW'), executions.join(' '));
      },
    );
  } finally {
    await small.stop();
  }
});

test('search attributes find a run and its iterations', async () => {
  await run({}, {}, async (handle) => {
    await handle.result();
    const ids: string[] = [];
    await until('visibility', async () => {
      ids.length = 0;
      for await (const { workflowId } of temporal.environment.client.workflow.list({
        query: `SeeupoRunId = "${handle.workflowId}"`,
      }))
        ids.push(workflowId);
      return ids.length === 2;
    });
    assert.deepEqual(ids.sort(), [handle.workflowId, `${handle.workflowId}/iteration-0000`]);
  });
});
