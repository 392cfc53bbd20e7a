import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys } from '../../../activities/artifacts/store.js';
import { classifyFailure } from '../../../activities/failures.js';
import { ArithmeticMixed } from '../../../activities/run/arithmetic.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { createReviseSettings } from '../../../activities/run/revise-settings.activity.js';
import { createCollectRollouts } from '../../../activities/rollout/collect-rollouts.activity.js';
import { ArithmeticManifest } from '../../../schemas/arithmetic.js';
import { RolloutShardManifest } from '../../../schemas/rollout.js';
import { openInput } from '../../support/run-on-paper.js';
import { pipelineConfig, stepsOf, toyRun } from '../../support/toy-pipeline.js';
import { trainInProcess } from '../../support/train-in-process.js';

const theta = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };
const other = { precision: 'bf16', replicas: 2 } as const;

test('every step that computes with the model records what it was computed in, spread over workers or not', async () => {
  for (const shards of [1, 2]) {
    const { artifacts, dependencies } = toyRun();
    await trainInProcess(dependencies, 'run', { ...pipelineConfig, update: { shards } });
    const computed = [...(await stepsOf(artifacts, 'run'))].filter(
      ([key]) =>
        /rollout-|scores|gradient-|ratios-|step-\d+\/policy/.test(key) || (shards === 1 && /turn-\d+\.json/.test(key)),
    );
    assert.ok(computed.length > 5);
    for (const [key, manifest] of computed)
      assert.deepEqual((JSON.parse(manifest) as { arithmetic: unknown }).arithmetic, dependencies.arithmetic, key);
    assert.deepEqual(
      (await artifacts.findManifest(keys.arithmetic('run'), ArithmeticManifest))!.manifest.arithmetic,
      dependencies.arithmetic,
    );
  }
});

/** A run of which the first shard of two is played, and a worker that computes otherwise. */
async function begun() {
  const { artifacts, dependencies } = toyRun();
  const { run } = await createOpenRun(dependencies)(openInput('run', pipelineConfig));
  const at = { run, iteration: 0, policy: theta };
  const first = await createCollectRollouts(dependencies)({ ...at, shard: 0 });
  const otherwise = { ...dependencies, arithmetic: { ...dependencies.arithmetic, ...other } };
  return { artifacts, dependencies, run, at, first, otherwise, collect: createCollectRollouts(otherwise) };
}

test('a worker of another arithmetic is refused with what differs, both values and what to do; the run pauses on it', async () => {
  const { artifacts, at, collect } = await begun();
  await assert.rejects(collect({ ...at, shard: 1 }), (error: Error) => {
    assert.ok(error instanceof ArithmeticMixed);
    assert.match(
      error.message,
      /run "run" .*precision: stored "fp32", given "bf16"; replicas: stored 1, given 2\..*SEEUPO_PRECISION=fp32 SEEUPO_REPLICAS=1.*changeSettings with \{"arithmetic":"any"\}/,
    );
    assert.equal((classifyFailure(error) as { nonRetryable: boolean }).nonRetryable, true);
    return true;
  });
  assert.ok(!artifacts.objects.has(keys.rolloutShard('run', 0, 1)));
});

test('each thing that changes sums is told: device, threads, library and flags as well', async () => {
  const { dependencies, at } = await begun();
  for (const [name, value] of [
    ['device', 'another'],
    ['threads', 4],
    ['threads', null],
    ['library', 'libtensorflow 1'],
    ['flags', ['TF_ENABLE_ONEDNN_OPTS=0']],
  ] as const) {
    const collect = createCollectRollouts({
      ...dependencies,
      arithmetic: { ...dependencies.arithmetic, [name]: value },
    });
    await assert.rejects(collect({ ...at, shard: 1 }), {
      name: 'ArithmeticMixed',
      message: new RegExp(`this worker's: ${name}`),
    });
  }
});

test('a step that is committed is found by its key, whatever the worker that asks computes in', async () => {
  const { at, first, collect } = await begun();
  assert.deepEqual(await collect({ ...at, shard: 0 }), first);
});

test('a mix that was asked for goes on at once, also in the iteration under way, and each step tells its own', async () => {
  const { artifacts, dependencies, run, at, otherwise, collect } = await begun();
  // As an operator does whose run paused: from the next iteration on, while the step that is tried again has the run as it was.
  await createReviseSettings(dependencies)({ run, revision: 1, from: 1, change: { arithmetic: 'any' } });
  await collect({ ...at, shard: 1 });
  const recorded = async (shard: number) =>
    (await artifacts.findManifest(keys.rolloutShard('run', 0, shard), RolloutShardManifest))!.manifest.arithmetic;
  assert.deepEqual([await recorded(0), await recorded(1)], [dependencies.arithmetic, otherwise.arithmetic]);
});

test('the setting goes into no step: with it a run of one arithmetic has the same bytes', async () => {
  const [plain, any] = [toyRun(), toyRun()];
  await trainInProcess(plain.dependencies, 'run', pipelineConfig);
  await trainInProcess(any.dependencies, 'run', { ...pipelineConfig, arithmetic: 'any' });
  assert.deepEqual(await stepsOf(any.artifacts, 'run'), await stepsOf(plain.artifacts, 'run'));
});

test('a fork between two turns stays in the arithmetic of what it shares; one before an iteration chooses its own', async () => {
  const { dependencies } = toyRun();
  await trainInProcess(dependencies, 'source', pipelineConfig);
  const otherwise = { ...dependencies, arithmetic: { ...dependencies.arithmetic, ...other } };
  await assert.rejects(trainInProcess(otherwise, 'turn', { forkFrom: { run: 'source', iteration: 1, turn: 1 } }), {
    type: 'ArithmeticMixed',
  });
  await trainInProcess(otherwise, 'iteration', { forkFrom: { run: 'source', iteration: 1 } });
  // A resumed run is the run that it was.
  const done = { ...dependencies, executionState: async () => 'closed' as const };
  await createReviseSettings(done)({
    run: (await createOpenRun(done)(openInput('source', { resumeFrom: { run: 'source' } }, 'later'))).run,
    revision: 1,
    from: 3,
    change: { iterations: 4 },
  });
  await assert.rejects(
    trainInProcess({ ...otherwise, executionState: done.executionState }, 'again', { resumeFrom: { run: 'source' } }),
    { type: 'ArithmeticMixed' },
  );
});
