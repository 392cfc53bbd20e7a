import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { createMemoryStore } from '../../../activities/artifacts/memory-store.js';
import { keys } from '../../../activities/artifacts/store.js';
import { differencesOf, readEvidence } from '../../../scripts/chaos/evidence.js';

/** A run of one turn update, as the store holds it. */
async function stored(
  runId: string,
  { weights = 'weights', seconds = 1, steps = 2 }: { weights?: string; seconds?: number; steps?: number } = {},
) {
  const artifacts = createMemoryStore();
  const Any = z.record(z.string(), z.json());
  const commit = (key: string, manifest: Record<string, z.infer<ReturnType<typeof z.json>>>) =>
    artifacts.commitManifest(key, manifest, Any);
  await commit(keys.runManifest(runId), {
    kind: 'run',
    runId,
    config: { algorithm: { epochs: 1, minibatches: 2 } },
    code: { version: '1' },
  });
  const adapter = await artifacts.putBlob(Buffer.from(weights));
  await commit(keys.turnState(runId, 0, 1), {
    kind: 'turn-state',
    inputHash: 'of its inputs',
    policy: { adapter, optimizerSteps: steps },
    metrics: { optimizerSteps: steps },
  });
  await commit(keys.timing(keys.turnState(runId, 0, 1)), { seconds });
  await commit(keys.ownership(runId), { kind: 'ownership', since: `${seconds} s ago` });
  await commit(`${keys.run(runId)}report-0001.json`, {
    kind: 'report',
    html: await artifacts.putBlob(Buffer.from(`${runId} took ${seconds} s`)),
  });
  return { artifacts, adapter, evidence: await readEvidence(artifacts, runId) };
}

test('two runs that differ in id, duration and holder have one fingerprint; another weight, another', async () => {
  const [one, slower, other] = [
    await stored('one'),
    await stored('two', { seconds: 9 }),
    await stored('one', { weights: 'others' }),
  ];
  assert.deepEqual(differencesOf(slower.evidence.fingerprint, one.evidence.fingerprint), []);
  assert.deepEqual(differencesOf(other.evidence.fingerprint, one.evidence.fingerprint), [
    'iterations/0000/turn-01.json has other bytes',
  ]);
});

test('a manifest too few and one too many are told apart', () => {
  assert.deepEqual(differencesOf({ a: '1', c: '1' }, { a: '1', b: '1' }), [
    'b is missing',
    'c is not in the undisturbed run',
  ]);
});

test('an object that is missing or damaged is named', async () => {
  const { artifacts, adapter } = await stored('one');
  artifacts.objects.set(adapter.key, Buffer.from('WEIGHTS'));
  assert.match((await readEvidence(artifacts, 'one')).broken.join(), new RegExp(`${adapter.key}.*damaged`));
  artifacts.objects.delete(adapter.key);
  assert.match((await readEvidence(artifacts, 'one')).broken.join(), new RegExp(`${adapter.key}.*missing`));
});

test('a step that was applied twice shows: one turn of two minibatches plans two', async () => {
  assert.deepEqual((await stored('one')).evidence.optimizerSteps, { applied: 2, planned: 2 });
  assert.deepEqual((await stored('one', { steps: 4 })).evidence.optimizerSteps, { applied: 4, planned: 2 });
});
