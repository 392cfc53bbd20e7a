import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { createEvaluatePolicy } from '../../../activities/evaluation/evaluate-policy.activity.js';
import { createCollectRollouts } from '../../../activities/rollout/collect-rollouts.activity.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { EvaluationManifest } from '../../../schemas/evaluation.js';
import { RolloutShardManifest } from '../../../schemas/rollout.js';
import { Trajectory } from '../../../schemas/trajectory.js';
import type { PolicyState } from '../../../schemas/turn-state.js';
import { openInput, toyConfig, toyDependencies } from '../../support/run-on-paper.js';

const untouched: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };
async function opened() {
  const toy = toyDependencies();
  const { run } = await createOpenRun(toy.dependencies)(openInput('run-1', toyConfig));
  return {
    ...toy,
    run,
    collect: createCollectRollouts(toy.dependencies),
    evaluate: createEvaluatePolicy(toy.dependencies),
  };
}

test('a shard holds G trajectories of each of its tasks', async () => {
  const { run, collect, artifacts } = await opened();
  const ids: string[] = [];
  for (const shard of [0, 1]) {
    const { manifest } = await collect({ run, iteration: 0, shard, policy: untouched });
    const { trajectories } = await artifacts.getJson(manifest, RolloutShardManifest);
    ids.push(...(await artifacts.getJson(trajectories, z.array(Trajectory))).map(({ id }) => id));
  }
  assert.deepEqual(ids, ['a#0', 'a#1', 'b#0', 'b#1', 'c#0', 'c#1']);
});

test('a shard that was collected is found, not sampled again', async () => {
  const { run, collect, batches } = await opened();
  const first = await collect({ run, iteration: 0, shard: 0, policy: untouched });
  const sampled = batches.length;
  assert.deepEqual(await collect({ run, iteration: 0, shard: 0, policy: untouched }), first);
  assert.equal(batches.length, sampled);
});

test('twice at once, the first commit wins and both return it', async () => {
  const { run, collect } = await opened();
  const input = { run, iteration: 0, shard: 0, policy: untouched };
  const [one, two] = await Promise.all([collect(input), collect(input)]);
  assert.deepEqual(one, two);
});

test('trajectories are the same bytes on another worker', async () => {
  const shas = await Promise.all(
    [1, 2].map(async () => {
      const { run, collect, artifacts } = await opened();
      const { manifest } = await collect({ run, iteration: 1, shard: 1, policy: untouched });
      return (await artifacts.getJson(manifest, RolloutShardManifest)).trajectories.sha256;
    }),
  );
  assert.equal(shas[0], shas[1]);
});

test('the policy is asked for the weights of the state', async () => {
  const { run, collect, artifacts, used } = await opened();
  const adapter = await artifacts.putBlob(Buffer.from('adapter'));
  await collect({ run, iteration: 0, shard: 0, policy: { ...untouched, adapter } });
  assert.deepEqual(used, [adapter.sha256]);
});

test('an evaluation plays every task of its split so many times, under random numbers of its own name', async () => {
  const { run, evaluate, artifacts, batches } = await opened();
  const result = await evaluate({ run, name: 'start', split: 'train', iterationsDone: 0, policy: untouched });
  const manifest = await artifacts.getJson(result.manifest, EvaluationManifest);
  assert.deepEqual(
    manifest.tasks.map(({ taskId, samples }) => [taskId, samples]),
    [
      ['a', 3],
      ['b', 3],
      ['c', 3],
    ],
  );
  assert.equal(manifest.metrics.trajectories, 9);
  const mean = manifest.tasks.reduce((sum, { meanReward }) => sum + meanReward / 3, 0);
  assert.ok(Math.abs(result.meanReward - mean) < 1e-12);
  for (const batch of batches)
    for (const { randomKey } of batch) assert.match(randomKey, /^1\/evaluation-start\/[abc]\/[012]\/[12]$/);
  const heldout = await evaluate({ run, name: 'start', split: 'heldout', iterationsDone: 0, policy: untouched });
  assert.notEqual(heldout.manifest.key, result.manifest.key);
});
