import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';
import { RunManifest, type RunRef } from '../../schemas/run.js';

/** A run in a store as openRun leaves it: its settings, its manifest, and what the workflow carries of it. */
export async function storedRun(artifacts: ArtifactStore, manifest: RunManifest, changes: Partial<RunRef> = {}): Promise<RunRef> {
  const settings = await artifacts.putJson({ kind: 'settings', from: { iteration: 0, keptTurns: null }, config: manifest.config, before: null });
  const { ref } = await artifacts.commitManifest(keys.runManifest(manifest.runId), { ...manifest, settings }, RunManifest);
  return {
    runId: manifest.runId, manifest: ref, settings, title: manifest.config.title, iterations: manifest.config.iterations, tasks: manifest.trainTasks.length,
    groupSize: manifest.config.rollout.groupSize, shards: 1, updateOrder: 'reverse', warmStart: false, evaluateEvery: null,
    algorithm: 'seeupo', environment: 'toy', model: manifest.model.path, ...changes,
  };
}
