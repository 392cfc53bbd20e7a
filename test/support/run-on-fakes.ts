import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError, type WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { execa } from 'execa';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import * as messages from '../../workflows/messages.js';
import type { train } from '../../workflows/train.js';
import { binary } from './binaries.js';
import { fakeActivities, fakeRun, type Call, type FakeRun } from './fake-activities.js';
import type { TemporalUnderTest } from './temporal.js';

export type Handle = WorkflowHandleWithFirstExecutionRunId<typeof train>;
let runs = 0;

/** Runs the real workflows on fake activities. `before` sees each call first and may throw or wait. */
export async function runOnFakes<R>(
  on: TemporalUnderTest,
  fake: Partial<FakeRun>,
  before: ((call: Call) => Promise<void> | void) | undefined,
  work: (handle: Handle, calls: Call[]) => Promise<R>,
): Promise<R> {
  const { cpu, gpu, calls } = fakeActivities(before);
  return on.withWorkers({ cpu, gpu }, async (taskQueue) => {
    const handle = await on.environment.client.workflow.start<typeof train>('train', {
      taskQueue,
      workflowId: `run-${++runs}`,
      args: [{ ...fakeRun, ...fake } as unknown as TrainConfigInput],
    });
    return work(handle, calls);
  });
}

export const until = async (what: string, holds: () => Promise<boolean> | boolean): Promise<void> => {
  for (const began = Date.now(); !(await holds()); await sleep(20))
    assert.ok(Date.now() - began < 20_000, `in 20 s there was no ${what}`);
};
export const paused = (handle: Handle) =>
  until('pause', async () => (await handle.query(messages.progress)).paused !== null);
export const causeOf = async (handle: Handle): Promise<Error> => {
  const failure = await handle.result().then(
    () => assert.fail('the run succeeded'),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof WorkflowFailedError, String(failure));
  return failure.cause!;
};

/** Holds calls that match until it is released. */
export function gate(matches: (call: Call) => boolean) {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  return { before: (call: Call) => (matches(call) ? held : undefined), release: () => release() };
}

/** `temporal workflow ...` of the CLI, as an operator types it. */
export async function operator(
  on: TemporalUnderTest,
  handle: Handle,
  ...args: string[]
): Promise<{ ok: boolean; says: string }> {
  const [verb, ...rest] = args;
  const { exitCode, stdout, stderr } = await execa(
    binary('temporal'),
    ['workflow', ...verb!.split(' '), '--address', on.environment.address, '--workflow-id', handle.workflowId, ...rest],
    { reject: false, timeout: 60_000 },
  );
  return { ok: exitCode === 0, says: `${stdout}\n${stderr}`.replaceAll('\\"', '"') };
}
