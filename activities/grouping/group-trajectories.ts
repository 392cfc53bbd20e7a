import type { AlgorithmConfig } from '../../schemas/train-config.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import type { GroupedTrajectory, GroupsManifest } from '../../schemas/turn-pool.js';
import { rolloutMetrics } from '../rollout/rollout-metrics.js';
import { groupRelativeAdvantages, groupsWithoutVariance } from '../algorithms/advantages.js';
import { algorithmOf } from '../algorithms/index.js';

/**
 * Steps 2 and 3: the rewards of an iteration's trajectories, their seats in the pools, and what they amount to.
 * Beside each reward its advantage within its group (Eq. 9) is recorded, for readers of the store; what an update
 * learns from is made of the rewards by its algorithm.
 */
export function groupTrajectories(
  ofShards: readonly (readonly Trajectory[])[],
  algorithm: AlgorithmConfig,
): Pick<GroupsManifest, 'turns' | 'active' | 'groupsWithoutVariance' | 'groups' | 'metrics'> & {
  readonly grouped: GroupedTrajectory[];
} {
  const all = ofShards.flat();
  const advantages = groupRelativeAdvantages(all, algorithm);
  const grouped = ofShards.flatMap((ofShard, shard) =>
    ofShard.map(
      ({ id, taskId, reward, turns }, index): GroupedTrajectory => ({
        id,
        taskId,
        reward,
        advantage: advantages.get(id)!,
        turns: turns.length,
        shard,
        index,
      }),
    ),
  );
  const pools = algorithmOf(algorithm).pooling.pools(grouped);
  return {
    turns: pools.length,
    active: pools.map((pool) => pool.length),
    groupsWithoutVariance: groupsWithoutVariance(all),
    groups: new Set(all.map(({ taskId }) => taskId)).size,
    metrics: rolloutMetrics(all),
    grouped,
  };
}
