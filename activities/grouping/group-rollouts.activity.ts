import { z } from 'zod';
import { GroupRolloutsInput, type GroupRolloutsResult } from '../../schemas/steps.js';
import { RolloutShardManifest } from '../../schemas/rollout.js';
import { Trajectory } from '../../schemas/trajectory.js';
import { GroupsManifest, type GroupedTrajectory } from '../../schemas/turn-pool.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { rolloutMetrics } from '../rollout/rollout-metrics.js';
import { openedRun, stepOf } from '../run/run-context.js';
import { groupRelativeAdvantages, groupsWithoutVariance } from './advantages.js';
import { onePool, turnPools } from './turn-pools.js';

/** Steps 2 and 3: seats in the turn pools and advantages (Eq. 9) of an iteration's trajectories. CPU queue. */
export const createGroupRollouts = ({ artifacts }: CpuDependencies) =>
  async function groupRollouts(input: GroupRolloutsInput): Promise<GroupRolloutsResult> {
    const { run, iteration, shards } = GroupRolloutsInput.parse(input);
    const opened = await openedRun(artifacts, run, { iteration });
    const { algorithm } = opened.config;
    const { ref, manifest } = await commitOnce(artifacts, keys.groups(run.runId, iteration), GroupsManifest, stepOf(opened, { iteration, shards }), async () => {
      const manifests = await Promise.all(shards.map((shard) => artifacts.getJson(shard, RolloutShardManifest)));
      const trajectories = await Promise.all(manifests.map((shard) => artifacts.getJson(shard.trajectories, z.array(Trajectory))));
      const all = trajectories.flat();
      const advantages = groupRelativeAdvantages(all, algorithm);
      const grouped = trajectories.flatMap((ofShard, shard) =>
        ofShard.map(
          ({ id, taskId, reward, turns }, index): GroupedTrajectory => ({
            id, taskId, reward, advantage: advantages.get(id)!, turns: turns.length, shard, index,
          }),
        ),
      );
      const pools = algorithm.name === 'seeupo' ? turnPools(grouped) : onePool(grouped);
      const made = {
        kind: 'groups' as const,
        turns: pools.length,
        active: pools.map((pool) => pool.length),
        groupsWithoutVariance: groupsWithoutVariance(all),
        groups: new Set(all.map(({ taskId }) => taskId)).size,
        trajectories: await artifacts.putJson(grouped),
        shards: manifests.map((shard) => shard.trajectories),
        metrics: rolloutMetrics(all),
      };
      return { manifest: made, tokens: 0 };
    });
    const { turns, active, groupsWithoutVariance: flat, metrics } = manifest;
    return { manifest: ref, turns, active, groupsWithoutVariance: flat, metrics };
  };
