import type { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';

/**
 * Where results live. Three kinds of object:
 * - blobs, content-addressed and immutable: writing one twice is harmless;
 * - manifests, at a deterministic key, written by conditional put: the first commit of a key *is*
 *   the step, and everyone who comes later reads it instead of doing the step again;
 * - records, one per run, replaced by compare-and-swap: who may write the run.
 */
export interface ArtifactStore {
  /** Stores bytes under their hash; does nothing if they are there. */
  putBlob(bytes: Uint8Array): Promise<ArtifactRef>;
  /** @throws {ArtifactCorrupt} if the bytes are missing or do not hash to what the ref says. */
  getBlob(ref: ArtifactRef): Promise<Uint8Array>;
  /** JSON in canonical form (sorted keys, no blanks), gzip-free, as a blob. */
  putJson(value: unknown): Promise<ArtifactRef>;
  getJson<T>(ref: ArtifactRef, schema: z.ZodType<T>): Promise<T>;
  /** The manifest committed at a key, or null. */
  findManifest<T>(key: string, schema: z.ZodType<T>): Promise<Committed<T> | null>;
  /** Commits a manifest unless the key is taken; returns whichever holds the key. */
  commitManifest<T>(key: string, manifest: T, schema: z.ZodType<T>): Promise<Committed<T> & { first: boolean }>;
  /**
   * Copies a manifest to another key unless that key exists; its artifacts are shared. Does nothing if there is no
   * manifest.
   */
  copyManifest(from: string, to: string): Promise<void>;
  /** The current content of a mutable record; null if it does not exist. */
  findRecord<T>(key: string, schema: z.ZodType<T>): Promise<{ readonly record: T; readonly version: string } | null>;
  /** Replaces the version that was read, null for none; false if the record has changed since. */
  replaceRecord<T>(key: string, record: T, schema: z.ZodType<T>, version: string | null): Promise<boolean>;
  /**
   * Deletes an object; does nothing if there is none. Only retention deletes; a bucket that keeps versions keeps the
   * bytes.
   */
  remove(key: string): Promise<{ readonly versionStays: boolean }>;
  /**
   * Gives up large blobs whose writer was killed before they were whole, begun before a time (ms since 1970); how many.
   */
  abortUploads(olderThan: number): Promise<number>;
  /** Objects whose key starts with a prefix; `modified` in milliseconds since 1970. */
  listObjects(prefix: string): AsyncIterable<StoredObject>;
  /** Keys that start with a prefix, in order. */
  list(prefix: string): AsyncIterable<string>;
  /**
   * Resolves when the bucket can be read and written, and conditional puts work.
   * @throws {StoreUnfit} if they are not; {StoreRefused, StorePermissionDenied, StoreBucketMissing} if a person must
   * act; {StoreUnavailable, StoreFull}
   */
  checkAccess(): Promise<void>;
  /** Seconds spent in storage since the last call: the storage share of a step. */
  takeSeconds(): number;
}

export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

export interface Committed<T> {
  readonly ref: ArtifactRef;
  readonly manifest: T;
}

const padded = (n: number, width: number): string => String(n).padStart(width, '0');

/** Every key of a run, in the order in which a run writes them. */
export const keys = {
  blob: (sha256: string) => `blobs/sha256/${sha256.slice(0, 2)}/${sha256}`,
  run: (runId: string) => `runs/${runId}/`,
  ownership: (runId: string) => `runs/${runId}/owner.json`,
  runManifest: (runId: string) => `runs/${runId}/run.json`,
  /** What the run's steps are computed in. */
  arithmetic: (runId: string) => `runs/${runId}/arithmetic.json`,
  settingsRevision: (runId: string, revision: number) => `runs/${runId}/settings/${padded(revision, 4)}.json`,
  tag: (runId: string, name: string) => `runs/${runId}/tags/${name}.json`,
  droppedIteration: (runId: string, iteration: number) => `runs/${runId}/dropped/${padded(iteration, 4)}.json`,
  warmStart: (runId: string) => `runs/${runId}/warm-start.json`,
  evaluation: (runId: string, iterationsDone: number, name: string, split: string) =>
    `runs/${runId}/evaluations/${padded(iterationsDone, 4)}-${name}-${split}.json`,
  iteration: (runId: string, iteration: number) => `runs/${runId}/iterations/${padded(iteration, 4)}/`,
  rolloutShard: (runId: string, iteration: number, shard: number) =>
    `${keys.iteration(runId, iteration)}rollout-${padded(shard, 4)}.json`,
  groups: (runId: string, iteration: number) => `${keys.iteration(runId, iteration)}groups.json`,
  scores: (runId: string, iteration: number) => `${keys.iteration(runId, iteration)}scores.json`,
  turnState: (runId: string, iteration: number, turn: number) =>
    `${keys.iteration(runId, iteration)}turn-${padded(turn, 2)}.json`,
  iterationTiming: (runId: string, iteration: number) =>
    `runs/${runId}/timings/iterations/${padded(iteration, 4)}/all.json`,
  checkpoint: (runId: string, iteration: number) => `${keys.iteration(runId, iteration)}checkpoint.json`,
  /** How long the step at a key took: of no consequence to anything but the report. */
  timing: (key: string) => key.replace(/^((?:runs|evaluations)\/[^/]+\/)/, '$1timings/'),
  /**
   * What a turn update that is spread over workers writes on its way: `step-00/gradient-0001`, `step-00/policy`,
   * `ratios-0001`.
   */
  turnPart: (runId: string, iteration: number, turn: number, part: string) =>
    `${keys.iteration(runId, iteration)}turn-${padded(turn, 2)}/${part}.json`,
  /** Of the `evaluate` workflow, which may evaluate checkpoints of several runs or of none. */
  standaloneEvaluation: (evaluationId: string) => `evaluations/${evaluationId}/`,
  evaluationPlan: (evaluationId: string) => `${keys.standaloneEvaluation(evaluationId)}plan.json`,
  evaluationShards: (evaluationId: string, policy: number) =>
    `${keys.standaloneEvaluation(evaluationId)}policy-${policy}/`,
  evaluationShard: (evaluationId: string, policy: number, shard: number) =>
    `${keys.evaluationShards(evaluationId, policy)}shard-${padded(shard, 4)}.json`,
  evaluationReport: (evaluationId: string) => `${keys.standaloneEvaluation(evaluationId)}report.json`,
} as const;
