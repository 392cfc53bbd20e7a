import { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { canonicalJson, sha256 } from './canonical-json.js';
import { ArtifactCorrupt, ArtifactMissing, type ObjectPlace } from './errors.js';
import { keys, type ArtifactStore, type StoredObject } from './store.js';

/** What is asked of an object server; all else about artifacts is the same for every server. */
export interface Objects {
  /** Size, and time of writing in milliseconds since 1970; null if the object does not exist. */
  stat(key: string): Promise<Omit<StoredObject, 'key'> | null>;
  /** `versionStays`: the server keeps versions, so the bytes are still there. */
  remove(key: string): Promise<{ readonly versionStays: boolean }>;
  /** Gives up the uploads in parts that were begun before a time (ms since 1970) and never finished; how many. */
  abortUploads(olderThan: number): Promise<number>;
  get(key: string): Promise<Uint8Array | null>;
  /** The same for an object that should be of so many bytes; whatever is there in its place. */
  getSized(key: string, bytes: number): Promise<Uint8Array | null>;
  put(key: string, bytes: Uint8Array, sha256: string): Promise<void>;
  /** Writes only if the key is free; false if it was taken. */
  putIfAbsent(key: string, bytes: Uint8Array, sha256: string): Promise<boolean>;
  /** An object and the identifier of its version. */
  getVersion(key: string): Promise<{ readonly bytes: Uint8Array; readonly version: string } | null>;
  /** Writes only over that version; false if it is another by now. */
  putIfVersion(key: string, bytes: Uint8Array, sha256: string, version: string): Promise<boolean>;
  list(prefix: string): AsyncIterable<StoredObject>;
  checkAccess(): Promise<void>;
  /** For messages. */
  place(key: string): ObjectPlace;
}

/** A read that came back damaged may have been damaged on the way: one more try before calling the object corrupt. */
const READ_ATTEMPTS = 2;

/** A blob that is found and is younger need not be written again; retention spares blobs for twice as long. */
export const REFRESH_AFTER_HOURS = 12;

/** The store of store.ts over an object server. */
export function createObjectStore(objects: Objects): ArtifactStore {
  const { timed, takeSeconds } = stopwatch();

  async function getVerified(ref: ArtifactRef): Promise<Uint8Array> {
    let found = '';
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
      const bytes = await objects.getSized(ref.key, ref.bytes);
      if (!bytes) throw new ArtifactMissing(objects.place(ref.key), describe(ref.bytes, ref.sha256));
      const hash = sha256(bytes);
      if (bytes.length === ref.bytes && hash === ref.sha256) return bytes;
      found = describe(bytes.length, hash);
    }
    throw ArtifactCorrupt.notAsReferenced(objects.place(ref.key), describe(ref.bytes, ref.sha256), found);
  }

  async function putBlob(bytes: Uint8Array): Promise<ArtifactRef> {
    const hash = sha256(bytes);
    const key = keys.blob(hash);
    const found = await objects.stat(key);
    // A blob of another size under its own hash is a torn write: writing it again heals it. An old one may be swept
    // before it is named again.
    const asGood = found?.bytes === bytes.length && Date.now() - found.modified < REFRESH_AFTER_HOURS * 3_600_000;
    if (!asGood) await objects.put(key, bytes, hash);
    return { key, sha256: hash, bytes: bytes.length };
  }

  function parseJson<T>(key: string, bytes: Uint8Array, schema: z.ZodType<T>): T {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (error) {
      throw ArtifactCorrupt.notOfItsForm(objects.place(key), (error as Error).message);
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw ArtifactCorrupt.notOfItsForm(objects.place(key), z.prettifyError(parsed.error).replaceAll('\n', ' '));
  }

  async function readManifest<T>(key: string, schema: z.ZodType<T>) {
    const bytes = await objects.get(key);
    return bytes && { ref: refOf(key, bytes), manifest: parseJson(key, bytes, schema) };
  }

  return {
    putBlob: (bytes) => timed(() => putBlob(bytes)),
    getBlob: (ref) => timed(() => getVerified(ref)),
    putJson: (value) => timed(() => putBlob(encode(value))),
    getJson: (ref, schema) => timed(async () => parseJson(ref.key, await getVerified(ref), schema)),
    findManifest: (key, schema) => timed(() => readManifest(key, schema)),
    commitManifest: (key, manifest, schema) =>
      timed(async () => {
        const checked = schema.parse(manifest);
        const bytes = encode(checked);
        const ours = refOf(key, bytes);
        if (await objects.putIfAbsent(key, bytes, ours.sha256)) return { ref: ours, manifest: checked, first: true };
        const winner = await readManifest(key, schema);
        if (!winner) throw new ArtifactMissing(objects.place(key), 'the manifest whose presence made our commit fail');
        // Equal bytes: the put that "failed" was a repeat of our own, whose answer was lost.
        return { ...winner, first: winner.ref.sha256 === ours.sha256 };
      }),
    copyManifest: (from, to) =>
      timed(async () => {
        const bytes = await objects.get(from);
        if (bytes) await objects.putIfAbsent(to, bytes, sha256(bytes));
      }),
    findRecord: (key, schema) =>
      timed(async () => {
        const found = await objects.getVersion(key);
        return found && { record: parseJson(key, found.bytes, schema), version: found.version };
      }),
    replaceRecord: (key, record, schema, version) =>
      timed(async () => {
        const bytes = encode(schema.parse(record));
        if (
          version === null
            ? await objects.putIfAbsent(key, bytes, sha256(bytes))
            : await objects.putIfVersion(key, bytes, sha256(bytes), version)
        )
          return true;
        // The put that "failed" may be a repeat of our own, whose answer was lost.
        const now = await objects.get(key);
        return now !== null && sha256(now) === sha256(bytes);
      }),
    remove: (key) => timed(() => objects.remove(key)),
    abortUploads: (olderThan) => objects.abortUploads(olderThan),
    listObjects: (prefix) => objects.list(prefix),
    async *list(prefix) {
      for await (const { key } of objects.list(prefix)) yield key;
    },
    checkAccess: () => objects.checkAccess(),
    takeSeconds,
  };
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(canonicalJson(value));
const refOf = (key: string, bytes: Uint8Array): ArtifactRef => ({ key, sha256: sha256(bytes), bytes: bytes.length });
const describe = (bytes: number, hash: string): string => `${bytes} bytes with sha256 ${hash}`;

/** Wall time during which at least one storage call was under way: overlapping calls count once. */
function stopwatch() {
  let running = 0;
  let since = 0;
  let milliseconds = 0;
  return {
    async timed<R>(work: () => Promise<R>): Promise<R> {
      if (running++ === 0) since = performance.now();
      try {
        return await work();
      } finally {
        if (--running === 0) milliseconds += performance.now() - since;
      }
    },
    takeSeconds(): number {
      const now = performance.now();
      if (running > 0) {
        milliseconds += now - since;
        since = now;
      }
      const seconds = milliseconds / 1000;
      milliseconds = 0;
      return seconds;
    },
  };
}
