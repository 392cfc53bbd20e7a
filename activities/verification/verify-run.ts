import { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { RunManifest } from '../../schemas/run.js';
import { formOf } from '../artifacts/manifest-forms.js';
import { artifactsNamedIn, namedArtifacts } from '../artifacts/named-artifacts.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import type { Policy, Precision } from '../policy/policy.js';
import { latestSettings } from '../run/run-context.js';
import { Unverified } from './unverified.js';
import { verifyIteration } from './verify-iteration.js';
import { verifyLogProbs } from './verify-log-probs.js';

export interface Verification {
  readonly manifests: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly iterations: number;
  readonly episodes: number;
  /** Response tokens whose log-probs were taken again; null without a model. */
  readonly tokens: number | null;
  /** Largest |recorded - recomputed| of them, nats. */
  readonly largestGap: number | null;
}

export interface VerifyOptions {
  /** Null: log-probs are not taken again. */
  readonly policy: Policy | null;
  readonly modelsDir: string;
  /**
   * Largest |recorded - recomputed| log-prob that counts as the same, nats; of tokens sampled in the precision that is
   * recorded, null if none is.
   */
  readonly tolerance: (recorded: Precision | null) => number;
  readonly onProgress?: (line: string) => void;
}

/**
 * Reads a whole run again: every object is of its form and every artifact holds what its name says; each
 * step was made of the steps before it, under the settings in force; rewards, advantages and totals follow
 * from the trajectories; and the sampler's log-probs are those of the recorded weights on the recorded tokens.
 *
 * @throws {Unverified} naming the first thing that is wrong
 */
export async function verifyRun(
  artifacts: ArtifactStore,
  runId: string,
  options: VerifyOptions,
): Promise<Verification> {
  const say = options.onProgress ?? (() => {});
  const run = await reading(keys.runManifest(runId), () =>
    artifacts.findManifest(keys.runManifest(runId), RunManifest),
  );
  if (!run) throw new Unverified(keys.runManifest(runId), 'there is no such run in this store');

  const { manifests, blobs } = await verifyObjects(artifacts, runId);
  say(`${manifests} manifests and ${blobs.size} artifacts are what their names say`);

  const { settings } = await latestSettings(artifacts, run.manifest);
  const iterations = await committedIterations(artifacts, runId);
  let episodes = 0;
  let tokens = 0;
  let largestGap = 0;
  for (const iteration of iterations) {
    const verified = await verifyIteration(artifacts, run.manifest, settings, iteration);
    episodes += verified.trajectories.length;
    if (options.policy) {
      const scored = await verifyLogProbs({ ...options, artifacts, policy: options.policy }, run.manifest, verified);
      tokens += scored.tokens;
      largestGap = Math.max(largestGap, scored.largestGap);
    }
    say(
      `iteration ${iteration + 1}: ${verified.trajectories.length} episodes, ${verified.turns} turns${options.policy ? ', log-probs taken again' : ''}`,
    );
  }
  const model = options.policy ? { tokens, largestGap } : { tokens: null, largestGap: null };
  return {
    manifests,
    blobs: blobs.size,
    bytes: [...blobs.values()].reduce((sum, size) => sum + size, 0),
    iterations: iterations.length,
    episodes,
    ...model,
  };
}

/** Forms and hashes. Each artifact is read once, however many name it. */
async function verifyObjects(
  artifacts: ArtifactStore,
  runId: string,
): Promise<{ manifests: number; blobs: Map<string, number> }> {
  const prefix = keys.run(runId);
  const blobs = new Map<string, number>();
  let manifests = 0;
  const verifyBlob = async (by: string, ref: ArtifactRef): Promise<void> => {
    if (blobs.has(ref.sha256)) return;
    await reading(by, () => artifacts.getBlob(ref));
    blobs.set(ref.sha256, ref.bytes);
  };
  for await (const key of artifacts.list(prefix)) {
    const form = formOf(key.slice(prefix.length));
    if (!form) throw new Unverified(key, 'no object of a run belongs at this key');
    const found = await reading(key, () => artifacts.findManifest(key, form));
    manifests += 1;
    for (const ref of namedArtifacts(found?.manifest)) await verifyBlob(key, ref);
    for (const ref of await reading(key, () => artifactsNamedIn(artifacts, found?.manifest)))
      await verifyBlob(key, ref);
  }
  return { manifests, blobs };
}

async function committedIterations(artifacts: ArtifactStore, runId: string): Promise<number[]> {
  const found: number[] = [];
  for await (const key of artifacts.list(`${keys.run(runId)}iterations/`)) {
    const iteration = /iterations\/(\d+)\/checkpoint\.json$/.exec(key)?.[1];
    if (iteration !== undefined) found.push(Number(iteration));
  }
  return found.sort((a, b) => a - b);
}

/** The report of a damaged object: which manifest refers to it, and the fault. */
async function reading<T>(at: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && /^Artifact(Corrupt|Missing)$/.test(error.name))
      throw new Unverified(at, error.message);
    if (error instanceof z.ZodError) throw new Unverified(at, z.prettifyError(error));
    throw error;
  }
}
