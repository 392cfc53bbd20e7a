import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { downloadInParts, type Stretch } from '../../../activities/artifacts/download.js';

/** An object whose bodies break off after `breakAfter` bytes, and what was asked for. */
function served(
  object: Uint8Array,
  { breakAfter = Infinity, chunk = 100 }: { breakAfter?: number; chunk?: number } = {},
) {
  const asked: [number, number][] = [];
  let [open, mostOpen, sent] = [0, 0, 0];
  return {
    asked,
    counts: () => ({ mostOpen, sent }),
    async open(from: number, to: number): Promise<Stretch> {
      asked.push([from, to]);
      async function* body() {
        mostOpen = Math.max(mostOpen, ++open);
        try {
          for (let at = from; at < to; at += chunk) {
            if (at - from >= breakAfter) throw new Error('broken off');
            const piece = object.subarray(at, Math.min(to, at + chunk, from + breakAfter));
            sent += piece.length;
            yield piece;
          }
        } finally {
          open--;
        }
      }
      return { total: object.length, body: body() };
    },
  };
}
const once = <R>(part: () => Promise<R>): Promise<R> => part();

test('any object comes back whole, in parts of any size, in chunks of any size, however bodies break off', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
      fc.integer({ min: 1, max: 700 }),
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 500 }),
      async (object, partBytes, chunk, breakAfter) => {
        const { open, counts } = served(object, { breakAfter, chunk });
        const found = await downloadInParts({ open, bytes: object.length, partBytes, partsAtOnce: 3, attempt: once });
        assert.deepEqual(Buffer.from(found!), Buffer.from(object));
        assert.ok(counts().mostOpen <= 3);
      },
    ),
    { numRuns: 200 },
  );
});

test('each part is asked for once, and one that breaks off from the byte that it has reached: nothing is sent twice', async () => {
  const object = randomBytes(1_000);
  const whole = served(object);
  await downloadInParts({ open: whole.open, bytes: 1_000, partBytes: 400, partsAtOnce: 1, attempt: once });
  assert.deepEqual(whole.asked, [
    [0, 400],
    [400, 800],
    [800, 1_000],
  ]);
  const broken = served(object, { breakAfter: 150, chunk: 100 });
  await downloadInParts({ open: broken.open, bytes: 1_000, partBytes: 400, partsAtOnce: 1, attempt: once });
  assert.deepEqual(broken.asked.slice(0, 3), [
    [0, 400],
    [150, 400],
    [300, 400],
  ]);
  assert.equal(broken.counts().sent, 1_000);
});

test('a part that brings nothing is given up after two attempts; whoever tries again has what has arrived', async () => {
  const object = randomBytes(600);
  let [down, calls] = [true, 0];
  const { open, counts } = served(object, { breakAfter: 300, chunk: 100 });
  const failing = async (from: number, to: number) => {
    calls++;
    if (from >= 300 && down) throw new Error('away');
    return open(from, to);
  };
  let failures = 0;
  const again = async <R>(part: () => Promise<R>): Promise<R> =>
    part().catch((error: Error) => {
      failures++;
      assert.equal(error.message, 'away');
      down = false;
      return part();
    });
  const found = await downloadInParts({ open: failing, bytes: 600, partBytes: 600, partsAtOnce: 1, attempt: again });
  assert.deepEqual(Buffer.from(found!), object);
  assert.deepEqual([failures, calls, counts().sent], [1, 4, 600]); // 0..300, twice nothing, 300..600
});

test('an object that is not there, or has another length, is none', async () => {
  const { open } = served(randomBytes(500));
  const download = { partBytes: 200, partsAtOnce: 2, attempt: once };
  assert.equal(await downloadInParts({ ...download, open: async () => null, bytes: 500 }), null);
  assert.equal(await downloadInParts({ ...download, open, bytes: 501 }), null);
  assert.equal(await downloadInParts({ ...download, open, bytes: 499 }), null);
});
