import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys } from '../../../activities/artifacts/store.js';
import { withChange } from '../../../activities/run/change-config.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { resolveConfig } from '../../../activities/run/resolve-config.js';
import { createReviseSettings } from '../../../activities/run/revise-settings.activity.js';
import { openedRun, stepOf } from '../../../activities/run/run-context.js';
import { actsOn } from '../../../activities/run/settings-in-force.js';
import { createCollectRollouts } from '../../../activities/rollout/collect-rollouts.activity.js';
import { SettingsRevision } from '../../../schemas/settings.js';
import { openInput, toyConfig, toyDependencies } from '../../support/run-on-paper.js';
import { pipelineConfig, stepsOf, toyRun } from '../../support/toy-pipeline.js';
import { trainInProcess } from '../../support/train-in-process.js';

async function opened() {
  const toy = toyDependencies();
  const { run } = await createOpenRun(toy.dependencies)(openInput('run-1', toyConfig));
  return { ...toy, run, revise: createReviseSettings(toy.dependencies) };
}
const rate = (learningRate: number) => ({ optimizer: { learningRate } });

test('a change acts from its iteration on; before it, the settings and the hashes of steps are those of a run without it', async () => {
  const { artifacts, run, revise } = await opened();
  const changed = await revise({ run, revision: 1, from: 3, change: rate(1e-5) });
  const at = async (iteration: number) =>
    (await openedRun(artifacts, changed, { iteration })).config.optimizer.learningRate;
  assert.deepEqual([await at(0), await at(2), await at(3), await at(9)], [3e-4, 3e-4, 1e-5, 1e-5]);
  const hash = async (ref: typeof run, iteration: number) =>
    stepOf(await openedRun(artifacts, ref, { iteration }), { iteration }).inputHash;
  assert.equal(await hash(changed, 2), await hash(run, 2));
  assert.notEqual(await hash(changed, 3), await hash(run, 3));
});

test('a second change builds on the first, and each is committed under its number', async () => {
  const { artifacts, run, revise } = await opened();
  const first = await revise({ run, revision: 1, from: 1, change: rate(1e-5) });
  const second = await revise({ run: first, revision: 2, from: 2, change: { algorithm: { klCoefficient: 0.1 } } });
  const { config } = await openedRun(artifacts, second, { iteration: 2 });
  assert.deepEqual([config.optimizer.learningRate, config.algorithm.klCoefficient], [1e-5, 0.1]);
  assert.equal((await openedRun(artifacts, second, { iteration: 1 })).config.algorithm.klCoefficient, 0.002);
  const stored = await artifacts.findManifest(keys.settingsRevision('run-1', 2), SettingsRevision);
  assert.deepEqual(
    [stored!.manifest.revision, stored!.manifest.change, stored!.manifest.settings],
    [2, { algorithm: { klCoefficient: 0.1 } }, second.settings],
  );
});

test('a retry finds the change that was committed, and another change under its number is refused', async () => {
  const { run, revise } = await opened();
  const input = { run, revision: 1, from: 1, change: rate(1e-5) };
  assert.deepEqual(await revise(input), await revise(input));
  await assert.rejects(revise({ ...input, change: rate(1) }), { name: 'ConflictingCommit' });
});

test('what the workflow carries follows: iterations, evaluation interval, shards', async () => {
  const { run, revise } = await opened();
  const changed = await revise({
    run,
    revision: 1,
    from: 1,
    change: { iterations: 7, evaluation: { everyIterations: 2 }, rollout: { tasksPerIteration: 1 } },
  });
  assert.deepEqual([run.iterations, run.evaluateEvery, run.shards], [2, null, 2]);
  assert.deepEqual([changed.iterations, changed.evaluateEvery, changed.shards], [7, 2, 1]);
});

test('settings that the whole configuration cannot bear are refused, and nothing is committed', async () => {
  const { artifacts, run, revise } = await opened();
  await assert.rejects(revise({ run, revision: 1, from: 1, change: { rollout: { tasksPerIteration: 99 } } }), {
    name: 'BadConfig',
    message: /tasksPerIteration is 99, but the task set .* has 3/,
  });
  await assert.rejects(revise({ run, revision: 1, from: 1, change: { algorithm: { klEstimator: 'none' } } }), {
    name: 'BadConfig',
    message: /klEstimator is "none"/,
  });
  assert.equal(await artifacts.findManifest(keys.settingsRevision('run-1', 1), SettingsRevision), null);
});

test('more trajectories per task are sampled from the iteration on, none of those before are lost', async () => {
  const { dependencies, run, revise } = await opened();
  const collect = createCollectRollouts(dependencies);
  const policy = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };
  const before = await collect({ run, iteration: 0, shard: 0, policy });
  const changed = await revise({ run, revision: 1, from: 1, change: { rollout: { groupSize: 5 } } });
  assert.deepEqual(await collect({ run: changed, iteration: 0, shard: 0, policy }), before);
  assert.equal(before.metrics.trajectories, 4); // 2 tasks, G = 2
  assert.equal((await collect({ run: changed, iteration: 1, shard: 0, policy })).metrics.trajectories, 10); // 2 tasks, G = 5
});

test('settings from the middle of an iteration act on the turns that were not kept, and on all that comes later', () => {
  const from = { iteration: 4, keptTurns: [3] };
  const steps = [
    { iteration: 3, turn: 1 },
    { iteration: 4 },
    { iteration: 4, turn: 3 },
    { iteration: 4, turn: 2 },
    { iteration: 5 },
  ];
  assert.deepEqual(
    steps.map((step) => actsOn(from, step)),
    [false, false, false, true, true],
  );
  assert.ok(actsOn({ iteration: 4, keptTurns: null }, { iteration: 4 }));
});

test('naming another set of options replaces the set; other changes are merged', () => {
  const config = resolveConfig(toyConfig);
  const authors = withChange(config, { algorithm: { objective: 'authors' } }).algorithm;
  assert.ok(authors.name === 'seeupo' && authors.dualClip === 3);
  const clipped = withChange(config, { algorithm: { clip: { low: 0.1 } } }).algorithm;
  assert.ok(clipped.name === 'seeupo');
  assert.deepEqual([clipped.clip, clipped.objective], [{ low: 0.1, high: 0.2 }, 'paper']);
});

test('a run that was changed on the way and is resumed makes what a fork with that change makes, byte for byte', async () => {
  const { artifacts, dependencies } = toyRun();
  const change = { optimizer: { learningRate: 0.05 }, rollout: { groupSize: 4 } };
  const { run } = await createOpenRun(dependencies)(openInput('changed', pipelineConfig));
  await createReviseSettings(dependencies)({ run, revision: 1, from: 1, change });
  // Another execution: all it knows is in the store.
  await trainInProcess({ ...dependencies, executionState: async () => 'closed' }, 'other', {
    resumeFrom: { run: 'changed' },
  });
  await trainInProcess(dependencies, 'plain', pipelineConfig);
  await trainInProcess(dependencies, 'fork', { forkFrom: { run: 'plain', iteration: 1 }, change });
  const iterations = async (runId: string) =>
    new Map([...(await stepsOf(artifacts, runId))].filter(([key]) => key.startsWith('iterations/')));
  const changed = await iterations('changed');
  assert.ok(changed.has('iterations/0002/checkpoint.json'));
  assert.deepEqual(changed, await iterations('fork'));
  assert.notDeepEqual(changed, await iterations('plain'));
});
