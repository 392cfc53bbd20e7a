import type { ArtifactStore } from './store.js';

/**
 * Keeps the last thing that was read of each store: what a step reads, the next step of the iteration reads again. Artifacts are
 * immutable, so their hash tells whether it is the same; one is kept, as they may be as large as an iteration.
 */
export function keptFromLast<T>(): (artifacts: ArtifactStore, sha256: string, read: () => Promise<T>) => Promise<T> {
  const kept = new WeakMap<ArtifactStore, { readonly sha256: string; readonly value: T }>();
  return async (artifacts, sha256, read) => {
    const last = kept.get(artifacts);
    if (last?.sha256 === sha256) return last.value;
    const value = await read();
    kept.set(artifacts, { sha256, value });
    return value;
  };
}
