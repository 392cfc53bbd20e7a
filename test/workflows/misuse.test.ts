import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WorkflowFailedError } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import { execa } from 'execa';
import * as messages from '../../workflows/messages.js';
import type { train } from '../../workflows/train.js';
import { binary } from '../support/binaries.js';
import { gate, operator, runOnFakes, until } from '../support/run-on-fakes.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';
import { pipelineConfig, toyPipeline } from '../support/toy-pipeline.js';

/**
 * What people do to runs that nobody meant, on a real server: it works, or ends FAILED with words; nothing runs for
 * ever.
 */
let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

const brief = { ...pipelineConfig, iterations: 1, evaluation: { samplesPerTask: 1 } };

/** Starts a workflow on real activities and waits for its end. */
async function ending(taskQueue: string, type: string, args: unknown[], workflowId: string): Promise<string> {
  const run = temporal.environment.client.workflow.execute(type, {
    taskQueue,
    workflowId,
    args,
    workflowExecutionTimeout: '20 s',
  });
  return run.then(
    () => 'COMPLETED',
    (failure: unknown) => {
      assert.ok(failure instanceof WorkflowFailedError, String(failure));
      // An activity's words, or the workflow's own.
      return ((failure.cause?.cause ?? failure.cause) as Error).message;
    },
  );
}

const MISUSES: readonly (readonly [what: string, type: string, args: unknown[], says: RegExp, id?: string])[] = [
  [
    'a second --input',
    'train',
    [brief, brief],
    /train takes one input, the configuration, but was given 2: was --input or --input-file given more than once/,
  ],
  [
    'a second --input that is a state of ours',
    'train',
    [brief, { iteration: 1, steering: { paused: null } }],
    /takes one input/,
  ],
  ['three inputs', 'train', [brief, brief, brief], /was given 3/],
  ['a second input of an evaluation', 'evaluate', [{}, {}], /evaluate takes one input/],
  ['a type in capitals', 'Train', [brief], /no workflow type "Train": did you mean "train"\?/],
  ['an unknown type', 'finetune', [brief], /no workflow type "finetune": known types are train and evaluate/],
  ['no type of ours but an activity', 'openRun', [brief], /no workflow type "openRun"/],
  ['an iteration by hand', 'iteration', [{ run: {}, iteration: 0 }], /only a run starts.*start type train/],
  ['an iteration by hand without input', 'iteration', [], /only a run starts/],
  ['no input', 'train', [], /expected object/],
  ['a string', 'train', ['quickstart.json'], /expected object, received string/],
  ['a list', 'train', [[brief]], /expected object, received array/],
  ['null', 'train', [null], /expected object/],
  ['a misspelt setting', 'train', [{ ...brief, sed: 1 }], /sed is no setting: did you mean "seed"\?/],
  ['a run that is not there', 'train', [{ resumeFrom: { run: 'nowhere' } }], /there is no run "nowhere"/],
  ['a fork of a run that is not there', 'train', [{ forkFrom: { run: 'nowhere', iteration: 0 } }], /"nowhere"/],
  ['an evaluation without input', 'evaluate', [], /expected object/],
  ['a blank in the id', 'train', [brief], /workflow id.*is "a b": it must be/, 'a b'],
  ['a slash in the id', 'train', [brief], /workflow id.*must be/, 'a/b'],
  ['an umlaut in the id', 'train', [brief], /workflow id.*must be/, 'läuft'],
  ['an id that is too long', 'train', [brief], /workflow id.*must be 1 to 128/, 'x'.repeat(500)],
  ['an evaluation with a slash in its id', 'evaluate', [{}], /workflow id.*must be/, 'e/f'],
];

test(`${MISUSES.length} wrong starts end FAILED with words`, async () => {
  assert.ok(MISUSES.length >= 20);
  await temporal.withWorkers(toyPipeline().activities, async (taskQueue) => {
    const endings = await Promise.all(
      MISUSES.map(([, type, args, , id], n) => ending(taskQueue, type, args, id ?? `misuse-${n}`)),
    );
    for (const [n, [what, , , says]] of MISUSES.entries()) assert.match(endings[n]!, says, what);
  });
});

test('a run on a queue whose GPU queue cannot be told is refused with the name that it must have', async () => {
  const { environment, bundle } = temporal;
  const worker = await Worker.create({
    connection: environment.nativeConnection,
    taskQueue: 'lonely',
    workflowBundle: bundle,
    activities: toyPipeline().activities.cpu,
  });
  await worker.runUntil(async () => {
    for (const type of ['train', 'evaluate'])
      assert.match(
        await ending('lonely', type, [brief], `lonely-${type}`),
        /on task queue "lonely", expected one that ends in -control/,
      );
  });
});

const cli = (...args: string[]) =>
  execa(binary('temporal'), [...args, '--address', temporal.environment.address], { timeout: 30_000 });

test('a schedule, which appends the time to the id, starts a run and an evaluation of it', async () => {
  const { activities, artifacts } = toyPipeline();
  await temporal.withWorkers(activities, async (taskQueue) => {
    const started = async (schedule: string, type: string, input: object) => {
      const what = [
        '--workflow-id',
        schedule,
        '--type',
        type,
        '--task-queue',
        taskQueue,
        '--input',
        JSON.stringify(input),
      ];
      await cli('schedule', 'create', '--schedule-id', schedule, '--interval', '1000d', ...what);
      await cli('schedule', 'trigger', '--schedule-id', schedule);
      const { workflow } = temporal.environment.client;
      let id = '';
      await until(`start of ${schedule}`, async () => {
        for await (const run of workflow.list({ query: `WorkflowType = "${type}"` }))
          if (run.workflowId.startsWith(`${schedule}-`)) id = run.workflowId;
        return id !== '';
      });
      assert.match(id, /-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      await workflow.getHandle(id).result();
      return id;
    };
    const run = await started('nightly', 'train', brief);
    const evaluation = await started('weekly', 'evaluate', { policy: { run, iteration: 'end' }, split: 'heldout' });
    const keys = [...artifacts.objects.keys()];
    assert.ok(
      keys.includes(`runs/${run}/run.json`) && keys.includes(`evaluations/${evaluation}/report.json`),
      keys.join('\n'),
    );
  });
});

test('a signal and an update of a name that there is none of: the names that there are are told, and the run goes on', async () => {
  const held = gate(({ name }) => name === 'groupRollouts');
  await runOnFakes(temporal, {}, held.before, async (handle, calls) => {
    await until('rollouts', () => calls.some(({ name }) => name === 'groupRollouts'));
    await operator(temporal, handle, 'signal', '--name', 'stopp');
    const { ok, says } = await operator(temporal, handle, 'update execute', '--name', 'Pause');
    assert.ok(!ok);
    assert.match(
      says,
      /no update "Pause": there are pause, resume, stop, abort, changeSettings, extendIterations, evaluateNow/,
    );
    assert.match(
      (await operator(temporal, handle, 'metadata')).says,
      /signal "stopp" was sent and had no effect: there are pause, resume, stop, abort/,
    );
    const query = await operator(temporal, handle, 'query', '--name', 'status');
    assert.match(query.says, /Registered queries.*config progress metrics/);
    const child = { ...handle, workflowId: `${handle.workflowId}/iteration-0000` };
    const meant = await operator(temporal, child, 'update execute', '--name', 'pause');
    assert.match(meant.says, /no update "pause": there is none; its run answers: workflow run-\d+/);
    held.release();
    assert.equal((await handle.result()).iterations, 1);
  });
});

test('a run that is reset while its iteration lives waits for that to end, says so, and goes on without anybody', async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 0);
  await runOnFakes(temporal, { iterations: 2 }, held.before, async (handle, calls) => {
    await until('iteration', () => calls.some(({ name }) => name === 'groupRollouts'));
    await operator(temporal, handle, 'reset', '--type', 'FirstWorkflowTask', '--reason', 'to see');
    const latest = temporal.environment.client.workflow.getHandle<typeof train>(handle.workflowId);
    await until('wait', async () =>
      /wait until workflow run-\d+\/iteration-0000.*has ended/.test((await latest.query(messages.progress)).phase),
    );
    assert.equal((await latest.query(messages.progress)).paused, null);
    held.release();
    assert.equal((await latest.result()).iterations, 2);
  });
});

test('a run that waits for the iteration of before its reset can be aborted', async () => {
  const held = gate(({ name, input }) => name === 'groupRollouts' && input.iteration === 0);
  await runOnFakes(temporal, {}, held.before, async (handle, calls) => {
    await until('iteration', () => calls.some(({ name }) => name === 'groupRollouts'));
    await operator(temporal, handle, 'reset', '--type', 'FirstWorkflowTask', '--reason', 'to see');
    const latest = temporal.environment.client.workflow.getHandle<typeof train>(handle.workflowId);
    await until('wait', async () => (await latest.query(messages.progress)).phase.startsWith('wait until'));
    await latest.executeUpdate(messages.orderAbort, { args: ['enough'] });
    await assert.rejects(latest.result(), (error: WorkflowFailedError) =>
      /aborted: enough/.test((error.cause as Error).message),
    );
    held.release();
  });
});
