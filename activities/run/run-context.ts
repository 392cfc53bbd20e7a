import type { z } from 'zod';
import { RunManifest, type RunRef } from '../../schemas/run.js';
import { Settings, SettingsRevision } from '../../schemas/settings.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { TensorGroups, type PolicyState } from '../../schemas/turn-state.js';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import type { CommitGuard } from '../artifacts/commit-once.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import type { PolicyWeights, StoredParts, StoredTensors } from '../policy/policy.js';
import { belowModels } from './model-file.js';
import { requireOwnership } from './ownership.js';
import { actsOn, stepFingerprint, contentOf, type RunPosition } from './settings-in-force.js';

/** A run at one of its steps: `config` has the settings in force at that step. */
export interface OpenedRun extends RunManifest {
  /** Hash of the parts of the run on which the result of a step depends: see stepFingerprint. */
  readonly fingerprint: string;
  /** Throws RunHeld if another execution has taken the run over. */
  readonly assertOwner: () => Promise<void>;
}

/** Manifests and blobs are immutable, so cache entries stay valid; a worker serves few runs at the same time. */
const CACHED = 64;
const caches = new WeakMap<ArtifactStore, Map<string, unknown>>();

async function readOnce<T>(artifacts: ArtifactStore, ref: ArtifactRef, schema: z.ZodType<T>): Promise<T> {
  let cache = caches.get(artifacts);
  if (!cache) caches.set(artifacts, (cache = new Map()));
  const known = cache.get(ref.sha256);
  if (known) return known as T;
  const value = await artifacts.getJson(ref, schema);
  if (cache.size >= CACHED) cache.delete(cache.keys().next().value!);
  cache.set(ref.sha256, value);
  return value;
}

/**
 * Reads the run of a RunRef with the settings in force at a step.
 *
 * @throws {RunHeld} if another execution has taken the run over
 */
export async function openedRun(artifacts: ArtifactStore, run: RunRef, step: RunPosition): Promise<OpenedRun> {
  const assertOwner = () => requireOwnership(artifacts, run);
  await assertOwner();
  const manifest = await readOnce(artifacts, run.manifest, RunManifest);
  const config = await configAt(artifacts, run.settings, step);
  return { ...manifest, config, fingerprint: stepFingerprint(manifest, config), assertOwner };
}

/** The configuration in force at a step. */
export async function configAt(artifacts: ArtifactStore, latest: ArtifactRef, step: RunPosition): Promise<TrainConfig> {
  let settings = await readOnce(artifacts, latest, Settings);
  while (settings.before !== null && !actsOn(settings.from, step))
    settings = await readOnce(artifacts, settings.before, Settings);
  return settings.config;
}

/** The last link of a run's chain of settings, and all changes that were made during the run. */
export async function latestSettings(
  artifacts: ArtifactStore,
  { runId, settings }: RunManifest,
): Promise<{ settings: ArtifactRef; revisions: SettingsRevision[] }> {
  const revisions: SettingsRevision[] = [];
  for await (const key of artifacts.list(`${keys.run(runId)}settings/`)) {
    const found = await artifacts.findManifest(key, SettingsRevision);
    if (found) revisions.push(found.manifest);
  }
  return { settings: revisions.at(-1)?.settings ?? settings, revisions };
}

/** Hashes the run's fingerprint and a step's input: equal steps of different runs have equal hashes. */
export const stepOf = (
  { fingerprint, assertOwner }: Pick<OpenedRun, 'fingerprint' | 'assertOwner'>,
  input: object,
): CommitGuard => ({
  inputHash: inputHashOfStep(fingerprint, input),
  assertOwner,
});

export const inputHashOfStep = (fingerprint: string, input: object): string =>
  inputHashOf({ run: fingerprint, step: contentOf(input) });

/** The model that is trained or evaluated: a model file and the shape of its adapters. */
export interface ModelInUse {
  readonly model: RunManifest['model'];
  readonly config: Pick<RunManifest['config'], 'lora'> & Partial<Pick<RunManifest['config'], 'training' | 'algorithm'>>;
}

/**
 * The model file of a run on this worker: absolute.
 *
 * @throws {ModelFileInvalid} if a manifest that openRun did not write leaves the models directory
 */
export const modelFileOf = (modelsDir: string, manifest: Pick<ModelInUse, 'model'>): string =>
  belowModels(modelsDir, manifest.model.path);

/**
 * theta of a PolicyState as policy.use() takes it; tensors are read from the store only if the policy does not hold
 * them.
 */
export function policyWeightsOf(
  { artifacts, modelsDir }: { readonly artifacts: ArtifactStore; readonly modelsDir: string },
  manifest: ModelInUse,
  state: PolicyState,
): PolicyWeights {
  const { config } = manifest;
  const { sha256, acceptSettings } = manifest.model;
  return {
    model: { path: modelFileOf(modelsDir, manifest), sha256, ...(acceptSettings && { acceptSettings }) },
    lora: config.lora,
    mergedAdapters: state.folded.map((ref) => storedTensors(artifacts, ref)),
    adapter: state.adapter && storedTensors(artifacts, state.adapter),
    ...((config.training === 'full' || state.weights) && {
      full: {
        weights: state.weights ? storedGroups(artifacts, state.weights) : null,
        reference: (config.algorithm?.klCoefficient ?? 0) > 0,
      },
    }),
  };
}

/** AdamW's moments of a PolicyState for policy.useMoments(). */
export const momentsOf = (
  artifacts: ArtifactStore,
  { config }: RunManifest,
  { moments }: PolicyState,
): StoredTensors | StoredParts | null =>
  moments && (config.training === 'full' ? storedGroups(artifacts, moments) : storedTensors(artifacts, moments));

/** A safetensors blob by reference. */
export const storedTensors = (artifacts: ArtifactStore, ref: ArtifactRef): StoredTensors => ({
  sha256: ref.sha256,
  read: () => artifacts.getBlob(ref),
});

const storedGroups = (artifacts: ArtifactStore, ref: ArtifactRef): StoredParts => ({
  parts: async () => (await artifacts.getJson(ref, TensorGroups)).map((group) => storedTensors(artifacts, group)),
});

/** The base model: the weights of the model file with a zero adapter. */
export const basePolicy: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };
