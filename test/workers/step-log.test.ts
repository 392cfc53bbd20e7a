import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createLog, lossyDestination } from '../../workers/logging.js';
import { withStepLog } from '../../workers/step-log.js';

/** Plays one activity as workflow `wf` would, and returns what was logged of it, without times. */
async function logged(
  activity: (input: object) => Promise<unknown>,
  input: object,
  measure?: () => Promise<object>,
): Promise<object[]> {
  const lines: string[] = [];
  const log = createLog(
    'gpu',
    'info',
    lossyDestination((line) => void lines.push(line)),
  );
  const { doIt } = withStepLog(log, { doIt: activity as never }, measure) as {
    doIt: (input: object) => Promise<unknown>;
  };
  const environment = new MockActivityEnvironment({ workflowExecution: { workflowId: 'wf', runId: 'r' }, attempt: 2 });
  await environment.run(doIt, input).catch(() => undefined);
  return lines.map((line) => {
    const {
      level: _level,
      time: _time,
      pid: _pid,
      worker: _worker,
      seconds,
      ...rest
    } = JSON.parse(line) as Record<string, unknown>;
    return { ...rest, ...(seconds !== undefined && { seconds: typeof seconds }) };
  });
}
const input = { run: { runId: 'my-run' }, iteration: 3, turn: 1 };
const place = { step: 'doIt', run: 'my-run', workflow: 'wf', attempt: 2, iteration: 3, turn: 1 };

test('every line of a step has its run, iteration and turn; the last one what was measured', async () => {
  assert.deepEqual(
    await logged(
      async () => 1,
      input,
      async () => ({ tensors: 5 }),
    ),
    [
      { ...place, msg: 'step started' },
      { ...place, seconds: 'number', tensors: 5, msg: 'step finished' },
    ],
  );
});

test('a failure is logged with its reason; a measurement that fails takes nothing away', async () => {
  const failing = async () => Promise.reject(new Error('no memory'));
  assert.deepEqual(await logged(failing, input, failing), [
    { ...place, msg: 'step started' },
    { ...place, seconds: 'number', reason: 'no memory', msg: 'step failed' },
  ]);
});

test('a step before there is a run is known by its workflow', async () => {
  assert.deepEqual(await logged(async () => 1, { workflowId: 'x' }), [
    { step: 'doIt', run: 'wf', workflow: 'wf', attempt: 2, msg: 'step started' },
    { step: 'doIt', run: 'wf', workflow: 'wf', attempt: 2, seconds: 'number', msg: 'step finished' },
  ]);
});
