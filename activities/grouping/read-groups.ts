import { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { Trajectory } from '../../schemas/trajectory.js';
import { GroupedTrajectory, GroupsManifest } from '../../schemas/turn-pool.js';
import type { ArtifactStore } from '../artifacts/store.js';
import { keptFromLast } from '../artifacts/last-read.js';
import { groupBy } from '../numerics/group-by.js';

export interface SeatedTrajectory extends GroupedTrajectory {
  readonly trajectory: Trajectory;
}

interface Groups {
  readonly manifest: GroupsManifest;
  readonly seated: readonly SeatedTrajectory[];
}
const kept = keptFromLast<Groups>();

/** Trajectories of an iteration with their advantages, in the order of the groups artifact. */
export const readGroups = (artifacts: ArtifactStore, groups: ArtifactRef): Promise<Groups> =>
  kept(artifacts, groups.sha256, () => read(artifacts, groups));

async function read(artifacts: ArtifactStore, groups: ArtifactRef): Promise<Groups> {
  const manifest = await artifacts.getJson(groups, GroupsManifest);
  const [grouped, ...shards] = await Promise.all([
    artifacts.getJson(manifest.trajectories, z.array(GroupedTrajectory)),
    ...manifest.shards.map((shard) => artifacts.getJson(shard, z.array(Trajectory))),
  ]);
  return { manifest, seated: grouped.map((seat) => ({ ...seat, trajectory: shards[seat.shard]![seat.index]! })) };
}

/**
 * The trajectories that an update looks at: all of them, or only those of groups whose rewards
 * differ (`skipGroupsWithoutVariance`).
 */
export function trainedOn<T extends { readonly taskId: string; readonly reward: number }>(
  trajectories: readonly T[],
  { skipGroupsWithoutVariance }: { readonly skipGroupsWithoutVariance: boolean },
): T[] {
  if (!skipGroupsWithoutVariance) return [...trajectories];
  const groups = groupBy(trajectories, ({ taskId }) => taskId);
  return trajectories.filter(({ taskId }) =>
    groups.get(taskId)!.some(({ reward }) => reward !== groups.get(taskId)![0]!.reward),
  );
}
