import type { z } from 'zod';
import { Timing } from '../../schemas/metrics.js';
import { ConflictingCommit } from './errors.js';
import { keys, type ArtifactStore, type Committed } from './store.js';

/** Conditions under which the result of a step may be committed. */
export interface CommitGuard {
  /** Hash of all inputs of the step (see `stepOf`); a committed result must have the same. */
  readonly inputHash: string;
  /** Throws if this execution does not own the run any more. */
  readonly assertOwner: () => Promise<void>;
}

/** For a step that belongs to no run, such as a shard of a separate evaluation: there is no owner to check. */
export const unownedStep = (inputHash: string): CommitGuard => ({ inputHash, assertOwner: async () => {} });

/** The result of a step that has been computed and is not committed yet. */
export interface StepOutput<T> {
  /** Without its inputHash. The blobs that it refers to must be stored already. */
  readonly manifest: Omit<T, 'inputHash'>;
  /** Number of tokens that the model processed. */
  readonly tokens: number;
}

/**
 * Runs a step exactly once: returns its committed result, or computes and commits it.
 *
 * A retry, a reset, a zombie attempt that wakes up and a run after the loss of the Temporal
 * database are all the same case: the first commit of the key is the step, everyone uses it.
 * The duration is stored at `keys.timing(key)`, so that the manifest has the same bytes on every worker.
 *
 * Ownership is checked once more before the commit: an execution that lost the run stops there.
 *
 * @throws {ConflictingCommit} if the key holds the result of other inputs
 */
export async function commitOnce<T extends { inputHash: string }>(
  artifacts: ArtifactStore,
  key: string,
  schema: z.ZodType<T>,
  { inputHash, assertOwner }: CommitGuard,
  compute: () => Promise<StepOutput<T>>,
): Promise<Committed<T>> {
  const finished = await artifacts.findManifest(key, schema);
  if (finished) return ofSameInput(key, finished, inputHash);
  const started = performance.now();
  artifacts.takeSeconds();
  const { manifest, tokens } = await compute();
  await assertOwner();
  // Committed before the step, so that every committed step has a timing.
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

/** Duration of the committed step at a key; all zero if its timing was deleted. */
export async function timingOf(artifacts: ArtifactStore, key: string): Promise<Timing> {
  return (
    (await artifacts.findManifest(keys.timing(key), Timing))?.manifest ?? { seconds: 0, tokens: 0, storageSeconds: 0 }
  );
}
