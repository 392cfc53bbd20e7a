import { z } from 'zod';
import { ArtifactRef } from '../../schemas/artifact-ref.js';
import { canonicalJson, sha256 } from '../../activities/artifacts/canonical-json.js';
import { namedArtifacts } from '../../activities/artifacts/named-artifacts.js';
import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';

const Manifest = z.record(z.string(), z.json());

/** What a run left in the store. */
export interface Evidence {
  /**
   * By key below the run's prefix: sha256 of the manifest, with the hashes of tokens, weights, Adam moments,
   * ratios and metrics in it; of the run's own without its id. The report, which shows how long everything took, is left out.
   */
  readonly fingerprint: Readonly<Record<string, string>>;
  /** References whose object is missing or is another one. */
  readonly broken: readonly string[];
  /** Adapters that the turns left, in the order of their keys. */
  readonly adapters: readonly string[];
  /** AdamW steps that the turn states count, and those that the configuration plans for as many turns. */
  readonly optimizerSteps: { readonly applied: number; readonly planned: number };
  /** Groups of all iterations, and those of equal rewards, whose advantages are 0: only divergence moves the weights there. */
  readonly groups: { readonly all: number; readonly withoutVariance: number };
}

export async function readEvidence(artifacts: ArtifactStore, runId: string): Promise<Evidence> {
  const prefix = keys.run(runId);
  const fingerprint: Record<string, string> = {};
  const refs = new Map<string, ArtifactRef>();
  const adapters: string[] = [];
  let applied = 0;
  let turns = 0;
  let stepsPerTurn = 0;
  const groups = { all: 0, withoutVariance: 0 };
  for await (const key of artifacts.list(prefix)) {
    // How long steps took, and which execution held the run, are no results.
    if (!key.endsWith('.json') || key.startsWith(`${prefix}timings/`) || key === keys.ownership(runId)) continue;
    const { ref: own, manifest } = (await artifacts.findManifest(key, Manifest))!;
    for (const ref of namedArtifacts(manifest)) refs.set(`${ref.key} ${ref.sha256}`, ref);
    const name = key.slice(prefix.length);
    if (manifest['kind'] !== 'report') fingerprint[name] = own.sha256;
    if (manifest['kind'] === 'run') {
      fingerprint[name] = sha256(canonicalJson({ ...manifest, runId: null }));
      const { algorithm } = z
        .object({ algorithm: z.object({ epochs: z.int(), minibatches: z.int() }) })
        .parse(manifest['config']);
      stepsPerTurn = algorithm.epochs * algorithm.minibatches;
    }
    if (manifest['kind'] === 'groups') {
      const found = z.object({ groups: z.int(), groupsWithoutVariance: z.int() }).parse(manifest);
      groups.all += found.groups;
      groups.withoutVariance += found.groupsWithoutVariance;
    }
    if (manifest['kind'] === 'turn-state') {
      const { policy, metrics } = z
        .object({ policy: z.object({ adapter: ArtifactRef }), metrics: z.object({ optimizerSteps: z.int() }) })
        .parse(manifest);
      adapters.push(policy.adapter.sha256);
      applied += metrics.optimizerSteps;
      turns += 1;
    }
  }
  const broken: string[] = [];
  for (const ref of refs.values()) await artifacts.getBlob(ref).catch((error: Error) => broken.push(error.message));
  return { fingerprint, broken, adapters, optimizerSteps: { applied, planned: turns * stepsPerTurn }, groups };
}

/** What differs between two runs that must be the same, one line each. */
export function differencesOf(found: Evidence['fingerprint'], expected: Evidence['fingerprint']): string[] {
  return [...new Set([...Object.keys(expected), ...Object.keys(found)])]
    .filter((key) => found[key] !== expected[key])
    .map((key) =>
      found[key] === undefined
        ? `${key} is missing`
        : expected[key] === undefined
          ? `${key} is not in the undisturbed run`
          : `${key} has other bytes`,
    );
}
