import { z } from 'zod';
import { ArtifactRef } from '../../schemas/artifact-ref.js';
import { canonicalJson, sha256 } from '../../activities/artifacts/canonical-json.js';
import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';

type Json = z.infer<ReturnType<typeof z.json>>;
const Manifest = z.record(z.string(), z.json());

/** What a run left in the store. */
export interface Evidence {
  /**
   * By key below the run's prefix: sha256 of what the manifest says, with the hashes of tokens, weights, Adam
   * moments, ratios and metrics in it. Durations, and hashes that depend on them or on the run's id, are left out.
   */
  readonly fingerprint: Readonly<Record<string, string>>;
  /** References whose object is missing or is another one. */
  readonly broken: readonly string[];
  /** Adapters that the turns left, in the order of their keys. */
  readonly adapters: readonly string[];
  /** AdamW steps that the turn states count, and those that the configuration plans for as many turns. */
  readonly optimizerSteps: { readonly applied: number; readonly planned: number };
}

export async function readEvidence(artifacts: ArtifactStore, runId: string): Promise<Evidence> {
  const prefix = keys.run(runId);
  const fingerprint: Record<string, string> = {};
  const refs = new Map<string, ArtifactRef>();
  const adapters: string[] = [];
  let applied = 0;
  let turns = 0;
  let stepsPerTurn = 0;
  for await (const key of artifacts.list(prefix)) {
    if (!key.endsWith('.json') || key.startsWith(`${prefix}timings/`)) continue;
    const { manifest } = (await artifacts.findManifest(key, Manifest))!;
    for (const ref of referencesIn(manifest)) refs.set(`${ref.key} ${ref.sha256}`, ref);
    // The report shows how long everything took.
    if (manifest['kind'] !== 'report') fingerprint[key.slice(prefix.length)] = sha256(canonicalJson(withoutDurations(manifest, prefix)));
    if (manifest['kind'] === 'run') {
      const { algorithm } = z.object({ algorithm: z.object({ epochs: z.int(), minibatches: z.int() }) }).parse(manifest['config']);
      stepsPerTurn = algorithm.epochs * algorithm.minibatches;
    }
    if (manifest['kind'] === 'turn-state') {
      const { policy, metrics } = z.object({ policy: z.object({ adapter: ArtifactRef }), metrics: z.object({ optimizerSteps: z.int() }) }).parse(manifest);
      adapters.push(policy.adapter.sha256);
      applied += metrics.optimizerSteps;
      turns += 1;
    }
  }
  const broken: string[] = [];
  for (const ref of refs.values()) await artifacts.getBlob(ref).catch((error: Error) => broken.push(error.message));
  return { fingerprint, broken, adapters, optimizerSteps: { applied, planned: turns * stepsPerTurn } };
}

function referencesIn(value: Json): ArtifactRef[] {
  const ref = ArtifactRef.safeParse(value);
  if (ref.success) return [ref.data];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(referencesIn) : [];
}

const VOLATILE = new Set(['timing', 'inputHash', 'runId']);

/** What two runs of one seed share. A manifest named by another is compared under its own key. */
function withoutDurations(value: Json, prefix: string): Json {
  if (Array.isArray(value)) return value.map((item) => withoutDurations(item, prefix));
  if (typeof value !== 'object' || value === null) return value;
  const ref = ArtifactRef.safeParse(value);
  if (ref.success && ref.data.key.startsWith(prefix)) return ref.data.key.slice(prefix.length);
  return Object.fromEntries(Object.entries(value).filter(([name]) => !VOLATILE.has(name)).map(([name, inner]) => [name, withoutDurations(inner, prefix)]));
}

/** What differs between two runs that must be the same, one line each. */
export function differencesOf(found: Evidence['fingerprint'], expected: Evidence['fingerprint']): string[] {
  return [...new Set([...Object.keys(expected), ...Object.keys(found)])]
    .filter((key) => found[key] !== expected[key])
    .map((key) => (found[key] === undefined ? `${key} is missing` : expected[key] === undefined ? `${key} is not in the undisturbed run` : `${key} has other bytes`));
}
