import { z } from 'zod';
import { GroupRolloutsInput, type GroupRolloutsResult } from '../../schemas/steps.js';
import { RolloutShardManifest } from '../../schemas/rollout.js';
import { Trajectory } from '../../schemas/trajectory.js';
import { GroupsManifest } from '../../schemas/turn-pool.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { openedRun, stepOf } from '../run/run-context.js';
import { groupTrajectories } from './group-trajectories.js';

/** Steps 2 and 3: seats in the turn pools and advantages (Eq. 9) of an iteration's trajectories. Control queue. */
export const createGroupRollouts = ({ artifacts }: CpuDependencies) =>
  async function groupRollouts(input: GroupRolloutsInput): Promise<GroupRolloutsResult> {
    const { run, iteration, shards } = GroupRolloutsInput.parse(input);
    const opened = await openedRun(artifacts, run, { iteration });
    const { algorithm } = opened.config;
    const { ref, manifest } = await commitOnce(
      artifacts,
      keys.groups(run.runId, iteration),
      GroupsManifest,
      stepOf(opened, { iteration, shards }),
      async () => {
        const manifests = await Promise.all(shards.map((shard) => artifacts.getJson(shard, RolloutShardManifest)));
        const trajectories = await Promise.all(
          manifests.map((shard) => artifacts.getJson(shard.trajectories, z.array(Trajectory))),
        );
        const { grouped, ...summary } = groupTrajectories(trajectories, algorithm);
        const made = {
          kind: 'groups' as const,
          ...summary,
          trajectories: await artifacts.putJson(grouped),
          shards: manifests.map((shard) => shard.trajectories),
        };
        return { manifest: made, tokens: 0 };
      },
    );
    const { turns, active, groupsWithoutVariance: flat, metrics } = manifest;
    return { manifest: ref, turns, active, groupsWithoutVariance: flat, metrics };
  };
