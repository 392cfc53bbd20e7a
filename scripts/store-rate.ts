#!/usr/bin/env node
// npm run store-rate: how fast artifacts go to the store and back, beside the bare AWS SDK on the same server.
import { createHash, randomBytes } from 'node:crypto';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { readSettings } from '../workers/dependencies.js';
import { command, wholeNumber } from './cli.js';
import { withStore } from './models/with-store.js';

const USAGE = `npm run store-rate -- [--megabytes 64] [--rounds 5] [--json]

Writes and reads random artifacts of one size, in turns with the bare AWS SDK (the same parts, no hash of the whole, nothing
verified), and prints the median rates in MB/s and their ratio.`;

const PART_BYTES = 16 * 1024 * 1024;

const OPTIONS = { megabytes: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'boolean' } } as const;

await command(USAGE, OPTIONS, async (values) => {
  const megabytes = wholeNumber('--megabytes', values.megabytes, 1, 64);
  const rounds = wholeNumber('--rounds', values.rounds, 1, 5);
  await withStore(
    async (store) => {
      const { s3 } = readSettings();
      const client = new S3Client({
        region: s3.region,
        forcePathStyle: s3.forcePathStyle,
        ...(s3.endpoint !== null && { endpoint: s3.endpoint }),
      });
      const seconds: Record<'write' | 'bareWrite' | 'read' | 'bareRead', number[]> = {
        write: [],
        bareWrite: [],
        read: [],
        bareRead: [],
      };
      for (let round = 0; round < rounds; round++) {
        const [ours, theirs] = [randomBytes(megabytes * 1e6), randomBytes(megabytes * 1e6)];
        // Under the name of its hash, where retention finds and deletes it.
        const hash = createHash('sha256').update(theirs).digest('hex');
        const bare = { Bucket: s3.bucket, Key: `blobs/sha256/${hash.slice(0, 2)}/${hash}` };
        seconds.bareWrite.push(
          await timed(() => new Upload({ client, params: { ...bare, Body: theirs }, partSize: PART_BYTES }).done()),
        );
        let ref: Awaited<ReturnType<typeof store.putBlob>> | undefined;
        seconds.write.push(await timed(async () => (ref = await store.putBlob(ours))));
        seconds.bareRead.push(
          await timed(async () => (await client.send(new GetObjectCommand(bare))).Body!.transformToByteArray()),
        );
        seconds.read.push(await timed(() => store.getBlob(ref!)));
        await store.remove(ref!.key);
        await store.remove(bare.Key);
      }
      client.destroy();
      const rate = (of: readonly number[]) => megabytes / of.toSorted((a, b) => a - b)[of.length >> 1]!;
      const found = {
        megabytes,
        rounds,
        write: rate(seconds.write),
        bareWrite: rate(seconds.bareWrite),
        read: rate(seconds.read),
        bareRead: rate(seconds.bareRead),
      };
      if (values.json) return console.log(JSON.stringify(found));
      for (const [what, ours, bare] of [
        ['write', found.write, found.bareWrite],
        ['read', found.read, found.bareRead],
      ] as const) {
        console.log(
          `${what}: ${ours.toFixed(0)} MB/s, the bare SDK ${bare.toFixed(0)} MB/s: ${((100 * ours) / bare).toFixed(0)} %`,
        );
      }
    },
    { writes: true },
  );
});

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
