import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';
import { Ownership } from '../../schemas/ownership.js';
import { RunManifest, type RunRef } from '../../schemas/run.js';

/** A run in a store as openRun leaves it: its settings, its manifest, and what the workflow carries of it. */
export async function storedRun(
  artifacts: ArtifactStore,
  manifest: RunManifest,
  changes: Partial<RunRef> = {},
): Promise<RunRef> {
  const settings = await artifacts.putJson({
    kind: 'settings',
    from: { iteration: 0, keptTurns: null },
    config: manifest.config,
    before: null,
  });
  const { ref } = await artifacts.commitManifest(
    keys.runManifest(manifest.runId),
    { ...manifest, settings },
    RunManifest,
  );
  await artifacts.commitManifest(
    keys.ownership(manifest.runId),
    { kind: 'ownership', generation: 1, holder: null, since: '2026-01-01T00:00:00.000Z', host: 'test', server: null },
    Ownership,
  );
  return {
    runId: manifest.runId,
    manifest: ref,
    generation: 1,
    settings,
    title: manifest.config.title,
    iterations: manifest.config.iterations,
    tasks: manifest.trainTasks.length,
    groupSize: manifest.config.rollout.groupSize,
    shards: 1,
    updateOrder: 'reverse',
    warmStart: false,
    evaluateEvery: null,
    algorithm: 'seeupo',
    environment: 'toy',
    model: manifest.model.path,
    ...changes,
  };
}
