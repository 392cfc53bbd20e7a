import type { z } from 'zod';
import { RunManifest, type RunRef } from '../../schemas/run.js';
import { Settings, SettingsRevision } from '../../schemas/settings.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { TensorGroups, type PolicyState } from '../../schemas/turn-state.js';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import type { Step } from '../artifacts/commit-once.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import type { PolicyWeights, StoredParts, StoredTensors } from '../policy/policy.js';
import { belowModels } from './model-file.js';
import { requireOwnership } from './ownership.js';
import { actsOn, basisOf, contentOf, type StepPosition } from './settings-in-force.js';

/** A run as one of its steps sees it: `config` is what is in force at that step. */
export interface OpenedRun extends RunManifest {
  /** See basisOf. */
  readonly basis: string;
  /** See Step. */
  readonly mayCommit: () => Promise<void>;
}

/** Manifests and blobs are immutable, so a hash may be cached for ever; few runs are live on one worker. */
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
 * The run behind a RunRef, with the settings that act on a step.
 *
 * @throws {RunHeld} if another execution has taken the run over
 */
export async function openedRun(artifacts: ArtifactStore, run: RunRef, step: StepPosition): Promise<OpenedRun> {
  const mayCommit = () => requireOwnership(artifacts, run);
  await mayCommit();
  const manifest = await readOnce(artifacts, run.manifest, RunManifest);
  const config = await configAt(artifacts, run.settings, step);
  return { ...manifest, config, basis: basisOf(manifest, config), mayCommit };
}

/** The configuration that acts on a step. */
export async function configAt(
  artifacts: ArtifactStore,
  latest: ArtifactRef,
  step: StepPosition,
): Promise<TrainConfig> {
  let settings = await readOnce(artifacts, latest, Settings);
  while (settings.before !== null && !actsOn(settings.from, step))
    settings = await readOnce(artifacts, settings.before, Settings);
  return settings.config;
}

/** The end of a run's chain of settings, changes under way included. */
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

/** What a step is: the run's basis, and what the step was handed. Equal steps of different runs have equal hashes. */
export const stepOf = ({ basis, mayCommit }: Pick<OpenedRun, 'basis' | 'mayCommit'>, input: object): Step => ({
  inputHash: inputHashOfStep(basis, input),
  mayCommit,
});

export const inputHashOfStep = (basis: string, input: object): string =>
  inputHashOf({ run: basis, step: contentOf(input) });

/** What was trained, or is evaluated: a model file and the form of its adapters. */
export interface ModelInUse {
  readonly model: RunManifest['model'];
  readonly config: Pick<RunManifest['config'], 'lora'> & Partial<Pick<RunManifest['config'], 'training' | 'algorithm'>>;
}

/** The model file of a run on this worker: absolute. @throws {ModelFileInvalid} if a manifest that openRun did not write leaves the models directory */
export const modelFileOf = (modelsDir: string, manifest: Pick<ModelInUse, 'model'>): string =>
  belowModels(modelsDir, manifest.model.path);

/** theta of a PolicyState as policy.use() takes it; tensors are read from the store only if the policy lacks them. */
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
    folded: state.folded.map((ref) => storedTensors(artifacts, ref)),
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
/** The model file's own weights under a zero adapter. */
export const untouchedPolicy: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };
