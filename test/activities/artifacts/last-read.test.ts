import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptFromLast } from '../../../activities/artifacts/last-read.js';
import { createMemoryStore } from '../../../activities/artifacts/memory-store.js';

test('the last read is kept by hash and store, one before it is not, and a failed one never', async () => {
  const [one, two] = [createMemoryStore(), createMemoryStore()];
  const kept = keptFromLast<string>();
  const reads: string[] = [];
  const read = (store: typeof one, sha256: string) =>
    kept(store, sha256, async () => (reads.push(sha256), `value of ${sha256}`));
  assert.equal(await read(one, 'a'), 'value of a');
  assert.equal(await read(one, 'a'), 'value of a');
  await read(two, 'a');
  await read(one, 'b');
  await read(one, 'a');
  assert.deepEqual(reads, ['a', 'a', 'b', 'a']);
  await assert.rejects(
    kept(one, 'c', () => Promise.reject(new Error('away'))),
    /away/,
  );
  assert.equal(await read(one, 'c'), 'value of c');
});
