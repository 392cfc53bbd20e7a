import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { canonicalJson, sha256 } from '../../../activities/artifacts/canonical-json.js';
import { commitOnce, timingOf, type CommitGuard } from '../../../activities/artifacts/commit-once.js';
import type { ArtifactStore } from '../../../activities/artifacts/store.js';
import { Sha256 } from '../../../schemas/artifact-ref.js';

const Manifest = z.strictObject({ kind: z.literal('step'), inputHash: Sha256, by: z.string() });
const inputA = sha256('input a');
const inputB = sha256('input b');
const stepA: CommitGuard = { inputHash: inputA, assertOwner: async () => {} };
const stepB: CommitGuard = { ...stepA, inputHash: inputB };
const made = (by: string) => async () => ({ manifest: { kind: 'step' as const, by }, tokens: 7 });

export interface StoreUnderTest {
  readonly store: () => ArtifactStore;
  /** Changes what lies at a key, behind the store's back; null deletes it. */
  readonly overwrite: (key: string, bytes: Uint8Array | null) => Promise<void>;
}

/** What every ArtifactStore must do. */
export function storeContract(name: string, { store, overwrite }: StoreUnderTest): void {
  test(`${name}: a blob comes back under the hash of its bytes`, async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(1000));
    const ref = await store().putBlob(bytes);
    assert.deepEqual(ref, {
      key: `blobs/sha256/${sha256(bytes).slice(0, 2)}/${sha256(bytes)}`,
      sha256: sha256(bytes),
      bytes: 1000,
    });
    assert.deepEqual(Buffer.from(await store().getBlob(ref)), Buffer.from(bytes));
    assert.deepEqual(await store().putBlob(bytes), ref);
  });

  test(`${name}: an empty blob and one of several parts come back`, async () => {
    for (const size of [0, 33 * 1024 * 1024 + 7]) {
      const bytes = Buffer.alloc(size, 'seeupo');
      const ref = await store().putBlob(bytes);
      assert.equal(sha256(await store().getBlob(ref)), sha256(bytes));
    }
  });

  test(`${name}: JSON is stored in canonical form, so key order does not matter`, async () => {
    const a = await store().putJson({ b: [1, 2.5e-7], a: 'ü', none: undefined });
    const b = await store().putJson({ a: 'ü', b: [1, 0.00000025] });
    assert.deepEqual(a, b);
    assert.equal(Buffer.from(await store().getBlob(a)).toString(), '{"a":"ü","b":[1,2.5e-7]}');
    assert.deepEqual(await store().getJson(a, z.strictObject({ a: z.string(), b: z.array(z.number()) })), {
      a: 'ü',
      b: [1, 2.5e-7],
    });
  });

  test(`${name}: a damaged blob is refused, and healed by writing it again if its size is wrong`, async () => {
    const bytes = Buffer.from(`blob ${Math.floor(performance.now() * 1e6)}`);
    const ref = await store().putBlob(bytes);
    await overwrite(ref.key, Buffer.alloc(ref.bytes));
    await assert.rejects(store().getBlob(ref), {
      name: 'ArtifactCorrupt',
      message: new RegExp(`${ref.key}.*expected ${ref.bytes} bytes with sha256 ${ref.sha256}`),
    });
    await overwrite(ref.key, Buffer.from('torn'));
    assert.deepEqual(await store().putBlob(bytes), ref);
    assert.deepEqual(Buffer.from(await store().getBlob(ref)), bytes);
    await overwrite(ref.key, null);
    await assert.rejects(store().getBlob(ref), {
      name: 'ArtifactMissing',
      message: new RegExp(`${ref.key}.*is missing`),
    });
  });

  test(`${name}: a manifest of another form is refused with the field that is wrong`, async () => {
    const ref = await store().putJson({ kind: 'other' });
    await assert.rejects(store().getJson(ref, Manifest), { name: 'ArtifactCorrupt', message: /kind/ });
  });

  test(`${name}: the first commit of a key wins, later ones read it`, async () => {
    const key = 'runs/first/step.json';
    assert.equal(await store().findManifest(key, Manifest), null);
    const first = await store().commitManifest(key, { kind: 'step', inputHash: inputA, by: 'one' }, Manifest);
    assert.equal(first.first, true);
    assert.equal(first.ref.sha256, sha256(canonicalJson(first.manifest)));
    const second = await store().commitManifest(key, { kind: 'step', inputHash: inputA, by: 'two' }, Manifest);
    assert.deepEqual(second, { ...first, first: false });
    assert.deepEqual(await store().findManifest(key, Manifest), { ref: first.ref, manifest: first.manifest });
    assert.deepEqual(await store().getJson(first.ref, Manifest), first.manifest);
  });

  test(`${name}: of many commits at once exactly one is first, and all see it`, async () => {
    const commits = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        store().commitManifest('runs/race/step.json', { kind: 'step', inputHash: inputA, by: `worker ${i}` }, Manifest),
      ),
    );
    assert.equal(commits.filter(({ first }) => first).length, 1);
    assert.equal(new Set(commits.map(({ manifest }) => manifest.by)).size, 1);
  });

  test(`${name}: a step that is committed is not computed again`, async () => {
    const key = 'runs/once/step.json';
    const done = await commitOnce(store(), key, Manifest, stepA, made('me'));
    const found = await commitOnce(store(), key, Manifest, stepA, () => assert.fail('computed again'));
    assert.deepEqual(found, done);
    assert.equal(done.manifest.inputHash, inputA);
  });

  test(`${name}: how long a step took lies beside it, so that doing it again would give the same bytes`, async () => {
    const slow = async () => (await sleep(30), made('me')());
    const [one, two] = [
      await commitOnce(store(), 'runs/fast/step.json', Manifest, stepA, made('me')),
      await commitOnce(store(), 'runs/slow/step.json', Manifest, stepA, slow),
    ];
    assert.equal(one.ref.sha256, two.ref.sha256);
    const [fast, took] = [await timingOf(store(), one.ref.key), await timingOf(store(), two.ref.key)];
    assert.ok(took.seconds >= 0.03 && took.seconds > fast.seconds, `${took.seconds} s`);
    assert.equal(took.tokens, 7);
    assert.deepEqual(await timingOf(store(), 'runs/none/step.json'), { seconds: 0, tokens: 0, storageSeconds: 0 });
  });

  test(`${name}: an attempt that loses to a zombie uses the zombie's result`, async () => {
    const key = 'runs/zombie/step.json';
    const committed = await commitOnce(store(), key, Manifest, stepA, async () => {
      await commitOnce(store(), key, Manifest, stepA, made('zombie'));
      return made('retry')();
    });
    assert.equal(committed.manifest.by, 'zombie');
  });

  test(`${name}: a key that holds other inputs is refused with both hashes`, async () => {
    const key = 'runs/conflict/step.json';
    const compute = made('me');
    await commitOnce(store(), key, Manifest, stepA, compute);
    await assert.rejects(commitOnce(store(), key, Manifest, stepB, compute), {
      name: 'ConflictingCommit',
      message: new RegExp(`${key}.*${inputA}.*${inputB}.*another|new workflow id`),
    });
  });

  test(`${name}: who may not write any more stops before the commit`, async () => {
    const key = 'runs/fenced/step.json';
    const fenced = { ...stepA, assertOwner: () => Promise.reject(new Error('taken over')) };
    await assert.rejects(commitOnce(store(), key, Manifest, fenced, made('zombie')), /taken over/);
    assert.equal(await store().findManifest(key, Manifest), null);
  });

  test(`${name}: a record is replaced only by who has read its latest version`, async () => {
    const key = `runs/record/owner.json`;
    const put = (by: string, version: string | null) =>
      store().replaceRecord(key, { kind: 'step' as const, inputHash: inputA, by }, Manifest, version);
    assert.equal(await store().findRecord(key, Manifest), null);
    assert.equal(await put('one', null), true);
    const seen = (await store().findRecord(key, Manifest))!;
    assert.equal(seen.record.by, 'one');
    assert.equal(await put('two', null), false);
    assert.equal(await put('three', seen.version), true);
    assert.equal(await put('four', seen.version), false);
    assert.equal((await store().findRecord(key, Manifest))!.record.by, 'three');
  });

  test(`${name}: of many replacements of one version exactly one takes place`, async () => {
    const key = 'runs/record-race/owner.json';
    const put = (by: string, version: string | null) =>
      store().replaceRecord(key, { kind: 'step' as const, inputHash: inputA, by }, Manifest, version);
    await put('first', null);
    const { version } = (await store().findRecord(key, Manifest))!;
    const replaced = await Promise.all(Array.from({ length: 12 }, (_, i) => put(`worker ${i}`, version)));
    assert.equal(replaced.filter(Boolean).length, 1);
    assert.equal((await store().findRecord(key, Manifest))!.record.by, `worker ${replaced.indexOf(true)}`);
  });

  test(`${name}: a manifest is copied to a free key, byte for byte`, async () => {
    const { ref } = await store().commitManifest(
      'runs/copy/a.json',
      { kind: 'step', inputHash: inputA, by: 'a' },
      Manifest,
    );
    await store().copyManifest('runs/copy/a.json', 'runs/copy/b.json');
    assert.equal((await store().findManifest('runs/copy/b.json', Manifest))!.ref.sha256, ref.sha256);
    await store().commitManifest('runs/copy/c.json', { kind: 'step', inputHash: inputA, by: 'c' }, Manifest);
    await store().copyManifest('runs/copy/a.json', 'runs/copy/c.json');
    assert.equal((await store().findManifest('runs/copy/c.json', Manifest))!.manifest.by, 'c');
  });

  test(`${name}: what is removed is gone, and listed no more; when it was written is told`, async () => {
    const ref = await store().putBlob(Buffer.from('to be removed'));
    const listed: { key: string; bytes: number; modified: number }[] = [];
    for await (const object of store().listObjects(ref.key)) listed.push(object);
    assert.deepEqual(
      listed.map(({ key, bytes }) => [key, bytes]),
      [[ref.key, 13]],
    );
    assert.ok(Math.abs(listed[0]!.modified - Date.now()) < 60_000);
    await store().remove(ref.key);
    await store().remove(ref.key);
    await assert.rejects(store().getBlob(ref), { name: 'ArtifactMissing' });
  });

  test(`${name}: keys are listed in order`, async () => {
    for (const n of [2, 10, 1])
      await store().commitManifest(`runs/list/${n}.json`, { kind: 'step', inputHash: inputA, by: 'x' }, Manifest);
    const listed: string[] = [];
    for await (const key of store().list('runs/list/')) listed.push(key);
    assert.deepEqual(listed, ['runs/list/1.json', 'runs/list/10.json', 'runs/list/2.json']);
  });

  test(`${name}: seconds in storage are counted once and then taken`, async () => {
    store().takeSeconds();
    await Promise.all([1, 2, 3].map((n) => store().putJson({ n })));
    assert.ok(store().takeSeconds() > 0);
    assert.equal(store().takeSeconds(), 0);
  });

  test(`${name}: access to the bucket can be checked`, () => store().checkAccess());
}
