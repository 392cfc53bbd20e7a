import { z } from 'zod';
import { artifactsNamedIn, namedArtifacts } from '../artifacts/named-artifacts.js';
import { REFRESH_AFTER_HOURS } from '../artifacts/object-store.js';
import type { ArtifactStore } from '../artifacts/store.js';

export interface Swept {
  readonly blobs: number;
  readonly bytes: number;
  /** Named by nothing, but so young that a step under way may be about to name them. */
  readonly young: number;
  /** Of those bytes, what a bucket that keeps versions still has; 0 in a dry run. */
  readonly bytesKept: number;
  /** Uploads in parts that nobody finished, given up; null if the server would not list them, or in a dry run. */
  readonly uploads: number | null;
}

/** No step takes so long from its first blob to its manifest; twice what a writer trusts, see REFRESH_AFTER_HOURS. */
export const GRACE_HOURS = 2 * REFRESH_AFTER_HOURS;

/**
 * Deletes the blobs that no manifest of any run or evaluation names, once they are older than the grace time.
 *
 * Safe while runs train: blobs are listed before manifests are read, so what is named in between is seen; what
 * is not named yet is young; and a writer that meets an old blob writes it anew, which makes it young.
 */
export async function sweepBlobs(
  artifacts: ArtifactStore,
  { dryRun = false, graceHours = GRACE_HOURS, now = () => Date.now() } = {},
): Promise<Swept> {
  const blobs: { key: string; bytes: number; modified: number }[] = [];
  for await (const blob of artifacts.listObjects('blobs/')) blobs.push(blob);
  const named = new Set<string>();
  for (const prefix of ['runs/', 'evaluations/']) {
    for await (const key of artifacts.list(prefix)) {
      if (key.includes('/timings/')) continue;
      const found = await artifacts.findManifest(key, z.unknown());
      for (const ref of namedArtifacts(found?.manifest)) named.add(ref.key);
      for (const ref of await artifactsNamedIn(artifacts, found?.manifest)) named.add(ref.key);
    }
  }
  const unnamed = blobs.filter(({ key }) => !named.has(key));
  const oldest = now() - graceHours * 3_600_000;
  const old = unnamed.filter(({ modified }) => modified < oldest);
  let bytesKept = 0;
  if (!dryRun) for (const { key, bytes } of old) if ((await artifacts.remove(key)).versionStays) bytesKept += bytes;
  // The sweep also works on a server that cannot list uploads or does not permit it.
  const uploads = dryRun ? null : await artifacts.abortUploads(oldest).catch(() => null);
  return {
    blobs: old.length,
    bytes: old.reduce((sum, { bytes }) => sum + bytes, 0),
    young: unnamed.length - old.length,
    bytesKept,
    uploads,
  };
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** What a sweep did, for people: what a bucket that keeps versions has is not called deleted. */
export function sweptInWords({ blobs, bytes, young, bytesKept, uploads }: Swept, dryRun = false): string {
  const did = dryRun ? 'would delete' : 'deleted';
  return [
    `${did} ${blobs} artifacts of ${megabytes(bytes)} that nothing names; ${young} more are younger than ${GRACE_HOURS} hours`,
    ...(bytesKept === 0
      ? []
      : [
          `the bucket keeps versions: ${megabytes(bytesKept)} of that stay, and cost, as noncurrent versions until a lifecycle rule of the bucket (NoncurrentVersionExpiration) deletes them`,
        ]),
    ...(uploads ? [`gave up ${uploads} uploads that a killed worker had left unfinished`] : []),
    ...(uploads === null && !dryRun
      ? [
          'unfinished uploads could not be listed (s3:ListBucketMultipartUploads): let a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) end them',
        ]
      : []),
  ].join('\n');
}
