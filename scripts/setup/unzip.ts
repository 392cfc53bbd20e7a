import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import yauzl from 'yauzl';
import type { VerifiedFile } from './stamp.js';

/**
 * Takes some files out of a zip archive (a Python wheel is one), hashing them on the way.
 *
 * @param destination  where an entry goes, or undefined to leave it; absolute, chosen by the caller, so that no entry name is trusted
 * @param onBytes      bytes written so far
 * @returns            what was written, by absolute path
 */
export async function unzip(
  archive: string,
  destination: (entryName: string) => string | undefined,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<Map<string, VerifiedFile>> {
  const zip = await new Promise<yauzl.ZipFile>((resolve, reject) =>
    yauzl.open(archive, { lazyEntries: true, autoClose: false }, (error, opened) =>
      error ? reject(error) : resolve(opened),
    ),
  );
  const written = new Map<string, VerifiedFile>();
  let total = 0;
  try {
    for (let entry = await nextEntry(zip); entry !== undefined; entry = await nextEntry(zip)) {
      const path = entry.fileName.endsWith('/') ? undefined : destination(entry.fileName);
      if (path === undefined) continue;
      await mkdir(dirname(path), { recursive: true });
      const hash = createHash('sha256');
      let bytes = 0;
      const hashing = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          hash.update(chunk);
          bytes += chunk.length;
          total += chunk.length;
          onBytes(total);
          done(null, chunk);
        },
      });
      await pipeline(await openEntry(zip, entry), hashing, createWriteStream(path));
      written.set(path, { bytes, sha256: hash.digest('hex') });
    }
  } finally {
    zip.close();
  }
  return written;
}

function nextEntry(zip: yauzl.ZipFile): Promise<yauzl.Entry | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      zip.removeListener('entry', onEntry).removeListener('end', onEnd).removeListener('error', onError);
      done();
    };
    const onEntry = (entry: yauzl.Entry) => settle(() => resolve(entry));
    const onEnd = () => settle(() => resolve(undefined));
    const onError = (error: Error) => settle(() => reject(error));
    zip.once('entry', onEntry).once('end', onEnd).once('error', onError);
    zip.readEntry();
  });
}

function openEntry(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<NodeJS.ReadableStream> {
  return new Promise((resolve, reject) =>
    zip.openReadStream(entry, (error, stream) => (error ? reject(error) : resolve(stream))),
  );
}
