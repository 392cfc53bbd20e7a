import { groupBy } from '../numerics/group-by.js';
import { mean, populationStandardDeviation } from '../numerics/statistics.js';

/** Keeps the division of Eq. 9's normalisation finite when all advantages are equal. */
const EPSILON = 1e-6;

export class ShapeError extends Error {
  override readonly name = 'ShapeError';
}

export interface RewardedTrajectory {
  readonly id: string;
  readonly taskId: string;
  /** R_i */
  readonly reward: number;
}

export interface AdvantageOptions {
  readonly normalization: 'batch' | 'group' | 'none';
  /** Advantages are clamped to [-x, x]; null is off. */
  readonly advantageClip: number | null;
}

/**
 * Group relative advantage estimation, Eq. 9 of arXiv 2602.06554: each trajectory's reward minus the
 * mean of its task's group, then an affine map common to the whole batch, (A - mean) / (std + 1e-6),
 * which keeps the argmax. `group` divides by each group's own deviation instead: that rescales groups
 * against each other and voids the paper's improvement guarantee.
 *
 * @returns A_i by trajectory id
 * @throws {ShapeError} if a group has fewer than 2 samples, where A would be 0 by construction
 */
export function groupRelativeAdvantages(trajectories: readonly RewardedTrajectory[], options: AdvantageOptions): Map<string, number> {
  const groups = groupBy(trajectories, ({ taskId }) => taskId);
  const centred = new Map<string, number>();
  for (const [taskId, group] of groups) {
    if (group.length < 2) throw new ShapeError(`group of task ${taskId} has ${group.length} sample(s), needs at least 2: raise rollout.groupSize`);
    const rewards = group.map(({ reward }) => reward);
    const baseline = mean(rewards);
    const scale = options.normalization === 'group' ? populationStandardDeviation(rewards) + EPSILON : 1;
    for (const { id, reward } of group) centred.set(id, (reward - baseline) / scale);
  }
  const values = [...centred.values()];
  const [shift, scale] = options.normalization === 'batch' ? [mean(values), populationStandardDeviation(values) + EPSILON] : [0, 1];
  const clip = options.advantageClip ?? Infinity;
  return new Map([...centred].map(([id, value]) => [id, Math.min(clip, Math.max(-clip, (value - shift) / scale))]));
}

/** Groups whose rewards are all equal: they teach nothing this time. */
export const groupsWithoutVariance = (trajectories: readonly RewardedTrajectory[]): number =>
  [...groupBy(trajectories, ({ taskId }) => taskId).values()].filter((group) =>
    group.every(({ reward }) => reward === group[0]!.reward),
  ).length;
