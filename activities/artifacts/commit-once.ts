import type { z } from 'zod';
import { Timing } from '../../schemas/metrics.js';
import { ConflictingCommit } from './errors.js';
import { keys, type ArtifactStore, type Committed } from './store.js';

/** What is about to be done. */
export interface Step {
  /** Hash of everything that it depends on (`stepOf`). */
  readonly inputHash: string;
  /** Throws if this execution may not write any more. */
  readonly mayCommit: () => Promise<void>;
}

/** A step that nobody else may be doing under other inputs: it belongs to no run. */
export const freeStep = (inputHash: string): Step => ({ inputHash, mayCommit: async () => {} });

/** A step as it was just done. */
export interface Made<T> {
  /** Without its inputHash; the blobs it names are already stored. */
  readonly manifest: Omit<T, 'inputHash'>;
  /** Tokens that went through the model. */
  readonly tokens: number;
}

/**
 * Does a step exactly once: finds it committed, or computes and commits it.
 *
 * A retry, a reset, a zombie attempt that wakes up and a run after the loss of the Temporal
 * database are all the same case: the first commit of the key is the step, everyone uses it.
 * How long it took goes to `keys.timing(key)`, so that the manifest is the same bytes whoever made it.
 *
 * The right to write is looked at once more before the commit: an execution that was taken over stops there.
 *
 * @throws {ConflictingCommit} if the key holds the result of other inputs
 */
export async function commitOnce<T extends { inputHash: string }>(
  artifacts: ArtifactStore,
  key: string,
  schema: z.ZodType<T>,
  { inputHash, mayCommit }: Step,
  compute: () => Promise<Made<T>>,
): Promise<Committed<T>> {
  const finished = await artifacts.findManifest(key, schema);
  if (finished) return ofSameInput(key, finished, inputHash);
  const started = performance.now();
  artifacts.takeSeconds();
  const { manifest, tokens } = await compute();
  await mayCommit();
  // Before the step itself: whoever finds the step finds its timing.
  const timing: Timing = {
    seconds: (performance.now() - started) / 1000,
    tokens,
    storageSeconds: artifacts.takeSeconds(),
  };
  await artifacts.commitManifest(keys.timing(key), timing, Timing);
  return ofSameInput(key, await artifacts.commitManifest(key, { ...manifest, inputHash } as T, schema), inputHash);
}

function ofSameInput<T extends { inputHash: string }>(
  key: string,
  { ref, manifest }: Committed<T>,
  inputHash: string,
): Committed<T> {
  if (manifest.inputHash !== inputHash) throw ConflictingCommit.ofStep(key, manifest.inputHash, inputHash);
  return { ref, manifest };
}

/** How long the committed step at a key took; nothing is known of it after its timing was deleted. */
export async function timingOf(artifacts: ArtifactStore, key: string): Promise<Timing> {
  return (
    (await artifacts.findManifest(keys.timing(key), Timing))?.manifest ?? { seconds: 0, tokens: 0, storageSeconds: 0 }
  );
}
