import { RunManifest, type RunRef } from '../../schemas/run.js';
import { TensorGroups, type PolicyState } from '../../schemas/turn-state.js';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import type { ArtifactStore } from '../artifacts/store.js';
import type { PolicyWeights, StoredParts, StoredTensors } from '../policy/policy.js';
import { belowModels } from './model-file.js';

/** Manifests are immutable, so a hash may be cached for ever; few runs are live on one worker. */
const CACHED_RUNS = 16;
const caches = new WeakMap<ArtifactStore, Map<string, RunManifest>>();

/** The manifest behind a RunRef, read once per worker process. */
export async function openedRun(artifacts: ArtifactStore, run: RunRef): Promise<RunManifest> {
  let cache = caches.get(artifacts);
  if (!cache) caches.set(artifacts, (cache = new Map()));
  const known = cache.get(run.manifest.sha256);
  if (known) return known;
  const manifest = await artifacts.getJson(run.manifest, RunManifest);
  if (cache.size >= CACHED_RUNS) cache.delete(cache.keys().next().value!);
  cache.set(run.manifest.sha256, manifest);
  return manifest;
}

/** What was trained, or is evaluated: a model file and the form of its adapters. */
export interface ModelInUse {
  readonly model: RunManifest['model'];
  readonly config: Pick<RunManifest['config'], 'lora'> & Partial<Pick<RunManifest['config'], 'training' | 'algorithm'>>;
}

/** The model file of a run on this worker: absolute. @throws {ModelFileInvalid} if a manifest that openRun did not write leaves the models directory */
export const modelFileOf = (modelsDir: string, manifest: Pick<ModelInUse, 'model'>): string => belowModels(modelsDir, manifest.model.path);

/** theta of a PolicyState as policy.use() takes it; tensors are read from the store only if the policy lacks them. */
export function policyWeightsOf(
  { artifacts, modelsDir }: { readonly artifacts: ArtifactStore; readonly modelsDir: string },
  manifest: ModelInUse,
  state: PolicyState,
): PolicyWeights {
  const { config } = manifest;
  return {
    model: { path: modelFileOf(modelsDir, manifest), sha256: manifest.model.sha256 },
    lora: config.lora,
    folded: state.folded.map((ref) => storedTensors(artifacts, ref)),
    adapter: state.adapter && storedTensors(artifacts, state.adapter),
    ...((config.training === 'full' || state.weights) && {
      full: { weights: state.weights ? storedGroups(artifacts, state.weights) : null, reference: (config.algorithm?.klCoefficient ?? 0) > 0 },
    }),
  };
}

/** AdamW's moments of a PolicyState for policy.useMoments(). */
export const momentsOf = (artifacts: ArtifactStore, { config }: RunManifest, { moments }: PolicyState): StoredTensors | StoredParts | null =>
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
