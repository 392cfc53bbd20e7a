import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { execa } from 'execa';
import { Worker } from '@temporalio/worker';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import type { train } from '../../workflows/train.js';
import { binary } from '../support/binaries.js';
import { fakeActivities, fakeRun, type Call } from '../support/fake-activities.js';
import { gate, until } from '../support/run-on-fakes.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';

let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

/** Both workers of a build, as workers/serve.ts makes them when SEEUPO_BUILD_ID is set. */
async function build(buildId: string, before?: (call: Call) => Promise<void> | void) {
  const { cpu, gpu, calls } = fakeActivities(before);
  const { environment, bundle } = temporal;
  const versioned = {
    connection: environment.nativeConnection,
    workerDeploymentOptions: {
      useWorkerVersioning: true,
      defaultVersioningBehavior: 'AUTO_UPGRADE',
      version: { deploymentName: 'seeupo', buildId },
    },
    shutdownForceTime: '2 s',
  } as const;
  const control = await Worker.create({
    ...versioned,
    taskQueue: 'versioned-control',
    workflowBundle: bundle,
    activities: cpu,
  });
  const device = await Worker.create({ ...versioned, taskQueue: 'versioned-gpu', activities: gpu });
  const running = Promise.all([control.run(), device.run()]);
  const stop = async () => {
    control.shutdown();
    device.shutdown();
    await running;
  };
  return { calls, stop };
}

/** What an operator types to route new work to a build. The server knows a build some moments after its workers have asked for work. */
const makeCurrent = (buildId: string) =>
  until(`current build ${buildId}`, async () => {
    const options = [
      '--address',
      temporal.environment.address,
      '--deployment-name',
      'seeupo',
      '--build-id',
      buildId,
      '--yes',
    ];
    return (
      (await execa(binary('temporal'), ['worker', 'deployment', 'set-current-version', ...options], { reject: false }))
        .exitCode === 0
    );
  });

test('a new build takes over at the next iteration; the one under way ends on the build that it began on', async () => {
  const held = gate(({ name, input }) => name === 'updateTurn' && input.iteration === 0 && input.turn === 2);
  const one = await build('build-1', held.before);
  await makeCurrent('build-1');
  const handle = await temporal.environment.client.workflow.start<typeof train>('train', {
    taskQueue: 'versioned-control',
    workflowId: 'versioned',
    args: [{ ...fakeRun, iterations: 2 } as unknown as TrainConfigInput],
  });
  await until('update', () => one.calls.some(({ name }) => name === 'updateTurn'));
  const two = await build('build-2');
  await makeCurrent('build-2');
  held.release();
  assert.equal((await handle.result()).iterations, 2);
  const stepsOf = (calls: readonly Call[], k: number) =>
    calls.filter(({ input }) => input.iteration === k).map(({ name }) => name);
  assert.deepEqual(stepsOf(one.calls, 0), [
    'collectRollouts',
    'collectRollouts',
    'groupRollouts',
    'scoreTrajectories',
    'updateTurn',
    'updateTurn',
    'commitCheckpoint',
  ]);
  assert.deepEqual(stepsOf(one.calls, 1), []);
  assert.deepEqual(stepsOf(two.calls, 0), []);
  assert.deepEqual(stepsOf(two.calls, 1), [
    'collectRollouts',
    'collectRollouts',
    'groupRollouts',
    'scoreTrajectories',
    'updateTurn',
    'updateTurn',
    'commitCheckpoint',
  ]);
  await Promise.all([one.stop(), two.stop()]);
});
