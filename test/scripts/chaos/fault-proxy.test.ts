import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { createS3Store } from '../../../activities/artifacts/s3-store.js';
import { FaultProxy } from '../../../scripts/chaos/fault-proxy.js';
import type { StoreFault } from '../../../scripts/chaos/faults.js';
import { startS3Server, type S3Server } from '../../support/s3-server.js';

/** A real S3 server behind the proxy: what passes through it, what does not, and what a store makes of it. */
let server: S3Server;
let proxy: FaultProxy;
const port = (): number => Number(new URL(server.options.endpoint!).port);
before(async () => {
  server = await startS3Server();
  proxy = await FaultProxy.listen(async () => port());
});
after(async () => {
  await proxy?.close();
  await server?.remove();
});

const Manifest = z.strictObject({ at: z.int() });
const BODY = Buffer.alloc(300_000, 'some weights');
const storeOf = (patienceMs: number) => createS3Store({ ...server.options, endpoint: proxy.url, patienceMs });

test('without a fault everything goes through, and commits are told by their key, once', async () => {
  const keys: string[] = [];
  proxy.on('commit', (key) => keys.push(key));
  const store = storeOf(0);
  const ref = await store.putBlob(BODY);
  assert.deepEqual(Buffer.from(await store.getBlob(ref)), BODY);
  assert.equal((await store.commitManifest('runs/a b/one.json', { at: 1 }, Manifest)).first, true);
  assert.equal((await store.commitManifest('runs/a b/one.json', { at: 2 }, Manifest)).manifest.at, 1);
  assert.deepEqual(keys, ['runs/a b/one.json']);
  store.close();
});

const inTrouble: Record<Exclude<StoreFault, 'slow'>, string> = {
  '500': 'StoreUnavailable',
  '503': 'StoreUnavailable',
  cut: 'StoreUnavailable',
  full: 'StoreFull',
};
for (const [fault, name] of Object.entries(inTrouble) as [keyof typeof inTrouble, string][]) {
  test(`${fault}: a store without patience fails as ${name}, a patient one commits what it has once the fault is over`, async () => {
    const [hasty, patient] = [storeOf(0), storeOf(30_000)];
    const over = proxy.inflict(fault, 3);
    const body = Buffer.concat([BODY, Buffer.from(fault)]);
    await assert.rejects(hasty.putBlob(body), { name });
    const ref = await patient.putBlob(body);
    const { manifest } = await patient.commitManifest(`runs/${fault}/one.json`, { at: 7 }, Manifest);
    await over;
    assert.deepEqual(Buffer.from(await hasty.getBlob(ref)), body);
    assert.equal(manifest.at, 7);
    hasty.close();
    patient.close();
  });
}

test('slow: the answer is right, and late', async () => {
  const store = storeOf(0);
  const over = proxy.inflict('slow', 2);
  const began = performance.now();
  await store.findManifest('runs/cut/one.json', Manifest);
  assert.ok(performance.now() - began > 1_000);
  await over;
  store.close();
});

test('a server that is killed and comes back is waited for by a patient store', async () => {
  const store = storeOf(30_000);
  await server.stop();
  const put = store.putBlob(Buffer.from('while it is away'));
  await sleep(2_000);
  await server.start();
  const ref = await put;
  assert.equal(Buffer.from(await store.getBlob(ref)).toString(), 'while it is away');
  store.close();
});
