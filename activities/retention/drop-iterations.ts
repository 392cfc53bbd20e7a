import { CheckpointManifest } from '../../schemas/checkpoint.js';
import { DroppedIteration, Tag } from '../../schemas/retention.js';
import type { RetentionRule } from '../../schemas/retention-rule.js';
import { keys, type ArtifactStore, type Committed } from '../artifacts/store.js';
import { contentOf } from '../run/settings-in-force.js';
import { keptIterations } from './kept-iterations.js';

export interface Dropped {
  readonly kept: number[];
  readonly dropped: number[];
}

/**
 * Drops the iterations of a run that a rule does not keep: their manifests go, their figures stay. What only
 * they named is left to `sweepBlobs`. Calling it again completes a drop that was interrupted.
 */
export async function dropIterations(
  artifacts: ArtifactStore,
  runId: string,
  rule: RetentionRule,
  { dryRun = false } = {},
): Promise<Dropped> {
  const committed: Committed<CheckpointManifest>[] = [];
  for await (const key of artifacts.list(`${keys.run(runId)}iterations/`)) {
    if (!key.endsWith('/checkpoint.json')) continue;
    const checkpoint = await artifacts.findManifest(key, CheckpointManifest);
    if (checkpoint) committed.push(checkpoint);
  }
  const tagged: number[] = [];
  for await (const key of artifacts.list(`${keys.run(runId)}tags/`)) {
    const tag = await artifacts.findManifest(key, Tag);
    if (tag) tagged.push(tag.manifest.iteration);
  }
  const candidates = committed.map(({ manifest: { iteration, rollout } }) => ({
    iteration,
    meanReward: rollout.meanReward,
    successRate: rollout.successRate,
  }));
  const kept = keptIterations(rule, candidates, tagged);
  const dropped = committed.filter(({ manifest }) => !kept.has(manifest.iteration));
  if (!dryRun) for (const checkpoint of dropped) await dropIteration(artifacts, runId, checkpoint);
  return {
    kept: candidates.map(({ iteration }) => iteration).filter((k) => kept.has(k)),
    dropped: dropped.map(({ manifest }) => manifest.iteration),
  };
}

async function dropIteration(
  artifacts: ArtifactStore,
  runId: string,
  { ref, manifest }: Committed<CheckpointManifest>,
): Promise<void> {
  const { policy, ...checkpoint } = manifest;
  const left: DroppedIteration = { kind: 'dropped-iteration', checkpoint, policyContent: contentOf(policy) };
  await artifacts.commitManifest(keys.droppedIteration(runId, manifest.iteration), left, DroppedIteration);
  // The checkpoint goes last: as long as it is there, the iteration is found, and dropped, again.
  for await (const key of artifacts.list(keys.iteration(runId, manifest.iteration)))
    if (key !== ref.key) await artifacts.remove(key);
  await artifacts.remove(ref.key);
}
