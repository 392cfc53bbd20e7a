import { groupBy } from '../numerics/group-by.js';
import { mean, populationStandardDeviation, sampleStandardDeviation, sum } from '../numerics/statistics.js';

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
  /** Share of the trajectory in means, e.g. its probability where all are enumerated; left out: equal shares. */
  readonly share?: number;
}

export interface AdvantageOptions {
  readonly normalization: 'batch' | 'group' | 'none';
  /**
   * What normalisation divides by; left out: the population's, over n. `sample` is over n - 1, as in torch.std, and so
   * in verl, TRL and the authors' code.
   */
  readonly deviation?: 'population' | 'sample' | undefined;
  /** Advantages are clamped to [-x, x]; null is off. */
  readonly advantageClip: number | null;
  /** `leave-one-out` (RLOO) takes the mean of the other samples; left out: the whole group's, Eq. 9. */
  readonly baseline?: 'leave-one-out' | 'group-mean';
  /** What is learned from: R, or the authors' magnified success; left out: R. */
  readonly rewardShaping?: 'none' | 'magnified';
}

/** The authors' training reward: success is set apart, 1 + 0.5 R for R >= 1, else 0.5 R. */
export const shapedReward = (reward: number, shaping: AdvantageOptions['rewardShaping'] = 'none'): number =>
  shaping === 'none' ? reward : reward >= 1 ? 1 + 0.5 * reward : 0.5 * reward;

/**
 * Group relative advantage estimation, Eq. 9 of arXiv 2602.06554: each trajectory's reward minus the
 * mean of its task's group, then an affine map common to the whole batch, (A - mean) / (std + 1e-6),
 * which keeps the argmax. `group` divides by each group's own deviation instead: that rescales groups
 * against each other and voids the paper's improvement guarantee.
 *
 * @param active  ids that the batch's mean and deviation are taken over, e.g. of one turn pool; left out: all.
 *                The group's mean is always the whole group's: a baseline by turn would be biased where the
 *                policy decides when to stop.
 * @returns A_i by trajectory id
 * @throws {ShapeError} if a group has fewer than 2 samples, where A would be 0 by construction
 */
export function groupRelativeAdvantages(
  trajectories: readonly RewardedTrajectory[],
  options: AdvantageOptions,
  active?: ReadonlySet<string>,
): Map<string, number> {
  const groups = groupBy(trajectories, ({ taskId }) => taskId);
  const centred = new Map<string, number>();
  for (const [taskId, group] of groups) {
    if (group.length < 2)
      throw new ShapeError(
        `group of task ${taskId} has ${group.length} sample(s), needs at least 2: raise rollout.groupSize`,
      );
    const rewards = group.map(({ reward }) => shapedReward(reward, options.rewardShaping));
    const { centre, deviation } = moments(rewards, group, options);
    // R - mean of the other n - 1 samples = (R - mean of all n) n / (n - 1)
    const others = options.baseline === 'leave-one-out' ? group.length / (group.length - 1) : 1;
    const scale = options.normalization === 'group' ? deviation + EPSILON : 1;
    group.forEach(({ id }, i) => centred.set(id, ((rewards[i]! - centre) * others) / scale));
  }
  const counted = active ? trajectories.filter(({ id }) => active.has(id)) : trajectories;
  const batch = moments(
    counted.map(({ id }) => centred.get(id)!),
    counted,
    options,
  );
  const [shift, scale] = options.normalization === 'batch' ? [batch.centre, batch.deviation + EPSILON] : [0, 1];
  const clip = options.advantageClip ?? Infinity;
  return new Map([...centred].map(([id, value]) => [id, Math.min(clip, Math.max(-clip, (value - shift) / scale))]));
}

/** Advantages of an algorithm that learns all turns of a trajectory from the trajectory's one advantage. */
export const trajectoryAdvantages =
  (options: AdvantageOptions) =>
  ({
    episodes,
  }: {
    readonly episodes: readonly RewardedTrajectory[];
  }): ((id: string) => { readonly advantage: number }) => {
    const advantages = groupRelativeAdvantages(episodes, options);
    return (id) => ({ advantage: advantages.get(id)! });
  };

/**
 * Mean and deviation, weighted by the trajectories' shares if they have any: then they are all that there are, and no
 * sample.
 */
function moments(
  values: readonly number[],
  trajectories: readonly RewardedTrajectory[],
  { deviation = 'population' }: Pick<AdvantageOptions, 'deviation'>,
): { centre: number; deviation: number } {
  const deviationOf = deviation === 'sample' ? sampleStandardDeviation : populationStandardDeviation;
  if (trajectories.every(({ share }) => share === undefined))
    return { centre: mean(values), deviation: deviationOf(values) };
  const shares = trajectories.map(({ share }) => share ?? 1);
  const average = (of: (value: number) => number): number =>
    sum(values.map((value, i) => shares[i]! * of(value))) / sum(shares);
  const centre = average((value) => value);
  return { centre, deviation: Math.sqrt(average((value) => (value - centre) ** 2)) };
}

/** Groups whose rewards are all equal: they teach nothing this time. */
export const groupsWithoutVariance = (trajectories: readonly RewardedTrajectory[]): number =>
  [...groupBy(trajectories, ({ taskId }) => taskId).values()].filter((group) =>
    group.every(({ reward }) => reward === group[0]!.reward),
  ).length;
