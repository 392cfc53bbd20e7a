import { sha256 } from './canonical-json.js';
import { createObjectStore } from './object-store.js';
import type { ArtifactStore } from './store.js';

/** A store in this process, for tests; `objects` is what a bucket would hold. */
export function createMemoryStore(): ArtifactStore & { readonly objects: Map<string, Uint8Array> } {
  const objects = new Map<string, Uint8Array>();
  const store = createObjectStore({
    size: async (key) => objects.get(key)?.length ?? null,
    get: async (key) => objects.get(key)?.slice() ?? null,
    put: async (key, bytes) => void objects.set(key, bytes.slice()),
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
      yield* [...objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    },
    checkAccess: async () => {},
    place: (key) => ({ bucket: 'memory', key, endpoint: 'this process' }),
  });
  return { ...store, objects };
}
