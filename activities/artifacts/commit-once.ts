import type { z } from 'zod';
import { ConflictingCommit } from './errors.js';
import type { ArtifactStore, Committed } from './store.js';

/**
 * Does a step exactly once: finds it committed, or computes and commits it.
 *
 * A retry, a reset, a zombie attempt that wakes up and a run after the loss of the Temporal
 * database are all the same case: the first commit of the key is the step, everyone uses it.
 *
 * @param inputHash  hash of everything the step depends on (`inputHashOf` of the activity's input)
 * @param compute    the manifest without its inputHash; the blobs it names are already stored
 * @throws {ConflictingCommit} if the key holds the result of other inputs
 */
export async function commitOnce<T extends { inputHash: string }>(
  artifacts: ArtifactStore,
  key: string,
  schema: z.ZodType<T>,
  inputHash: string,
  compute: () => Promise<Omit<T, 'inputHash'>>,
): Promise<Committed<T>> {
  const finished = await artifacts.findManifest(key, schema);
  if (finished) return ofSameInput(key, finished, inputHash);
  const made = { ...(await compute()), inputHash } as T;
  return ofSameInput(key, await artifacts.commitManifest(key, made, schema), inputHash);
}

function ofSameInput<T extends { inputHash: string }>(key: string, { ref, manifest }: Committed<T>, inputHash: string): Committed<T> {
  if (manifest.inputHash !== inputHash) throw ConflictingCommit.ofStep(key, manifest.inputHash, inputHash);
  return { ref, manifest };
}
