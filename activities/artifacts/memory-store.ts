import { sha256 } from './canonical-json.js';
import { createObjectStore } from './object-store.js';
import type { ArtifactStore } from './store.js';

/** A store in this process, for tests; `objects` is what a bucket would hold, `modified` when, if not just now. */
export function createMemoryStore(): ArtifactStore & {
  readonly objects: Map<string, Uint8Array>;
  readonly modified: Map<string, number>;
} {
  const objects = new Map<string, Uint8Array>();
  const modified = new Map<string, number>();
  const get = async (key: string) => objects.get(key)?.slice() ?? null;
  const store = createObjectStore({
    async stat(key) {
      const bytes = objects.get(key)?.length;
      return bytes === undefined ? null : { bytes, modified: modified.get(key) ?? Date.now() };
    },
    async remove(key) {
      objects.delete(key);
      return { versionStays: false };
    },
    abortUploads: async () => 0,
    get,
    getSized: get,
    async put(key, bytes) {
      objects.set(key, bytes.slice());
      modified.delete(key);
    },
    async putIfAbsent(key, bytes) {
      if (objects.has(key)) return false;
      objects.set(key, bytes.slice());
      return true;
    },
    async getVersion(key) {
      const bytes = objects.get(key)?.slice();
      return bytes ? { bytes, version: sha256(bytes) } : null;
    },
    async putIfVersion(key, bytes, _, version) {
      const now = objects.get(key);
      if (!now || sha256(now) !== version) return false;
      objects.set(key, bytes.slice());
      return true;
    },
    async *list(prefix) {
      for (const key of [...objects.keys()].filter((key) => key.startsWith(prefix)).sort())
        yield { key, bytes: objects.get(key)!.length, modified: modified.get(key) ?? Date.now() };
    },
    checkAccess: async () => {},
    place: (key) => ({ bucket: 'memory', key, endpoint: 'this process' }),
  });
  return { ...store, objects, modified };
}
