import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { canonicalJson } from '../../../activities/artifacts/canonical-json.js';
import { createMemoryStore } from '../../../activities/artifacts/memory-store.js';
import { keys } from '../../../activities/artifacts/store.js';
import { verifyIteration } from '../../../activities/verification/verify-iteration.js';
import { verifyLogProbs } from '../../../activities/verification/verify-log-probs.js';
import { verifyRun } from '../../../activities/verification/verify-run.js';
import { RolloutShardManifest } from '../../../schemas/rollout.js';
import { RunManifest } from '../../../schemas/run.js';
import { pipelineConfig, toyRun } from '../../support/toy-pipeline.js';
import { trainInProcess } from '../../support/train-in-process.js';

const whole = createMemoryStore();
const { dependencies } = toyRun(whole);
before(async () => {
  await trainInProcess(dependencies, 'run-1', pipelineConfig);
  await trainInProcess(dependencies, 'fork-1', {
    forkFrom: { run: 'run-1', iteration: 1, turn: 1 },
    change: { optimizer: { learningRate: 0.1 } },
  });
});

const options = { policy: dependencies.policy, modelsDir: dependencies.modelsDir, tolerance: () => 1e-9 };
/** A copy of the store in which something was changed behind its back. */
function tampered(change: (objects: Map<string, Uint8Array>) => void) {
  const store = createMemoryStore();
  for (const [key, bytes] of whole.objects) store.objects.set(key, bytes);
  change(store.objects);
  return verifyRun(store, 'run-1', options);
}
const json = (objects: Map<string, Uint8Array>, key: string) =>
  JSON.parse(Buffer.from(objects.get(key)!).toString()) as Record<string, never>;
/** Changes a manifest as someone would who knows the form. */
const edit = (key: string, change: (manifest: Record<string, any>) => void) => (objects: Map<string, Uint8Array>) => {
  const manifest = json(objects, key);
  change(manifest);
  objects.set(key, Buffer.from(canonicalJson(manifest)));
};
const wrong = (change: (objects: Map<string, Uint8Array>) => void, message: RegExp) =>
  assert.rejects(tampered(change), { name: 'Unverified', message });

test('a run is as it must be, and so is its fork; every response token was scored again', async () => {
  const found = await verifyRun(whole, 'run-1', options);
  assert.deepEqual([found.iterations, found.episodes], [3, 3 * 3 * 8]); // 3 tasks, G = 8
  assert.ok(found.tokens! >= found.episodes && found.largestGap! < 1e-9 && found.blobs > 10, JSON.stringify(found));
  assert.equal((await verifyRun(whole, 'fork-1', options)).iterations, 3);
  assert.equal((await verifyRun(whole, 'run-1', { ...options, policy: null })).tokens, null);
});

test('what counts as the same is asked for the precision that a shard records, and that of a run from before is not known', async () => {
  const asked = new Set<string | null>();
  const tolerance = (recorded: string | null) => (asked.add(recorded), 1e-9);
  await verifyRun(whole, 'run-1', { ...options, tolerance });
  assert.deepEqual([...asked], ['fp32']);
  asked.clear();
  const { manifest: run } = (await whole.findManifest(keys.runManifest('run-1'), RunManifest))!;
  const verified = await verifyIteration(whole, run, run.settings, 0);
  await verifyLogProbs({ artifacts: whole, ...options, tolerance }, run, {
    ...verified,
    trajectories: verified.trajectories.map((one) => ({ ...one, precision: null })),
  });
  assert.deepEqual([...asked], [null]);
});

test('a run that is not there is named', () =>
  assert.rejects(verifyRun(whole, 'none', options), {
    name: 'Unverified',
    message: /runs\/none\/run\.json: there is no such run/,
  }));

test('a damaged and a missing artifact are named with the manifest that names them', async () => {
  const { manifest } = (await whole.findManifest(keys.rolloutShard('run-1', 1, 0), RolloutShardManifest))!;
  await wrong(
    (objects) => objects.set(manifest.trajectories.key, Buffer.alloc(manifest.trajectories.bytes)),
    /iterations\/0001\/.*expected .* bytes with sha256/,
  );
  await wrong((objects) => objects.delete(manifest.trajectories.key), /iterations\/0001\/.*is missing/);
});

test('an object that does not belong to a run, or is not of its form, is named', async () => {
  await wrong(
    (objects) => objects.set('runs/run-1/iterations/0001/extra.json', Buffer.from('{}')),
    /extra\.json: no object of a run belongs at this key/,
  );
  await wrong(
    edit(keys.scores('run-1', 0), (manifest) => (manifest.kind = 'score')),
    /iterations\/0000\/scores\.json.*kind/,
  );
});

test('a manifest of one iteration in the place of another one is told by its inputs', () =>
  wrong(
    (objects) => objects.set(keys.turnState('run-1', 1, 2), objects.get(keys.turnState('run-1', 0, 2))!),
    /iterations\/0001\/turn-02\.json: the hash of its inputs/,
  ));

test('a metric that does not follow from the trajectories is named', async () => {
  await wrong(
    edit(keys.rolloutShard('run-1', 0, 1), (manifest) => (manifest.metrics.meanReward += 0.1)),
    /rollout-0001\.json: the sum of its trajectories/,
  );
  await wrong(
    edit(keys.checkpoint('run-1', 2), (manifest) => (manifest.rollout.meanReward += 0.1)),
    /iterations\/0002\/checkpoint\.json: the checkpoint/,
  );
});

test('trajectories that were swapped for others of a right hash are told by the log-probs, or by what follows from them', async () => {
  const key = keys.rolloutShard('run-1', 2, 0);
  const { manifest } = (await whole.findManifest(key, RolloutShardManifest))!;
  const store = createMemoryStore();
  for (const [name, bytes] of whole.objects) store.objects.set(name, bytes);
  const trajectories = JSON.parse(Buffer.from(await whole.getBlob(manifest.trajectories)).toString()) as {
    turns: { behaviorLogProbs: number[] }[];
  }[];
  trajectories[0]!.turns[0]!.behaviorLogProbs[0]! -= 0.01;
  const ref = await store.putJson(trajectories);
  edit(key, (rollout) => (rollout.trajectories = ref))(store.objects);
  // Who changes a manifest changes its hash: everything made from it names another.
  await assert.rejects(verifyRun(store, 'run-1', options), {
    name: 'Unverified',
    message: /iterations\/0002\/groups\.json: the hash of its inputs/,
  });
});

test('recorded log-probs that are not those of the recorded weights are named with episode, turn and token', async () => {
  const other = {
    ...dependencies.policy,
    use: async () => {},
    logProbs: async (sequences: readonly { responseIds: readonly number[] }[]) =>
      sequences.map(({ responseIds }) => responseIds.map(() => -5)),
  };
  await assert.rejects(verifyRun(whole, 'run-1', { ...options, policy: other as never }), {
    name: 'Unverified',
    message:
      /rollout-0000\.json: episode a#0, turn 1, token 0: the sampler recorded a log-prob of -\d.*, the recorded weights give -5/,
  });
});

test('an iteration without one of its steps is told', () =>
  wrong(
    (objects) => objects.delete(keys.turnState('run-1', 1, 1)),
    /iterations\/0001\/turn-01\.json: is missing, though iteration 1 has a checkpoint/,
  ));

test('a run whose turns were spread over workers is put together from their parts, and a part of another step is told', async () => {
  const { artifacts, dependencies: spread } = toyRun();
  await trainInProcess(spread, 'run-1', { ...pipelineConfig, iterations: 1, update: { shards: 2 } });
  assert.equal((await verifyRun(artifacts, 'run-1', options)).iterations, 1);
  artifacts.objects.set(
    keys.turnPart('run-1', 0, 1, 'step-1/policy'),
    artifacts.objects.get(keys.turnPart('run-1', 0, 1, 'step-0/policy'))!,
  );
  await assert.rejects(verifyRun(artifacts, 'run-1', options), {
    name: 'Unverified',
    message: /turn-01\.json: the hash of its inputs/,
  });
});
