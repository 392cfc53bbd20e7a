import type { GigpoConfig } from '../../schemas/algorithm-config.js';
import { groupBy } from '../numerics/group-by.js';
import { groupRelativeAdvantages, shapedReward } from './advantages.js';
import { allTurnsAtOnce, scoresOf, type AlgorithmDefinition, type Episode } from './algorithm.js';
import { tokenLoss } from './objectives.js';

type StepOptions = Pick<GigpoConfig, 'gamma' | 'normalization' | 'deviation' | 'rewardShaping'>;

/**
 * Step advantages, Eq. 5 to 7 of arXiv 2505.10978. Turns of a task that were taken after the same observation are a
 * group, in whichever trajectory and at whichever turn; each is worth the discounted return from there on,
 * gamma^(T - t) R as only the end is rewarded, and learns from how that compares within its group. A turn whose
 * observation nobody else saw has nothing to be compared with: 0.
 *
 * @returns by trajectory id, element t-1
 */
export function stepAdvantages(episodes: readonly Episode[], options: StepOptions): Map<string, number[]> {
  const steps = episodes.flatMap(({ id, taskId, reward, turns }) =>
    turns.map((_, t) => ({
      id: `${id}/${t}`,
      taskId: JSON.stringify([taskId, observationBefore(turns, t)]),
      reward: options.gamma ** (turns.length - 1 - t) * shapedReward(reward, options.rewardShaping),
    })),
  );
  const compared = [...groupBy(steps, ({ taskId }) => taskId).values()].filter((group) => group.length > 1).flat();
  const { normalization, deviation } = options;
  const advantages = groupRelativeAdvantages(compared, { normalization, deviation, advantageClip: null });
  return new Map(episodes.map(({ id, turns }) => [id, turns.map((_, t) => advantages.get(`${id}/${t}`) ?? 0)]));
}

/**
 * What the turn at this index answers: the first prompt, which the samples of a task share, or what the turn before
 * was answered with.
 */
const observationBefore = (turns: Episode['turns'], index: number): unknown =>
  index === 0 ? turns[0]!.promptIds : turns[index - 1]!.observationHash;

/** GiGPO, arXiv 2505.10978: GRPO with A = A of the episode + w A of the step, a token-level ratio and clip. */
export const gigpo: AlgorithmDefinition<GigpoConfig> = {
  settings: { stepWeight: ['update'], gamma: ['update'], aggregation: ['update'] },
  of: (config) => ({
    ...allTurnsAtOnce,
    scores: scoresOf(config),
    advantages: ({ episodes }) => {
      const ofEpisode = groupRelativeAdvantages(episodes, { ...config, advantageClip: null });
      const ofStep = stepAdvantages(episodes, config);
      const clip = config.advantageClip ?? Infinity;
      return (id, t) => {
        const advantage = ofEpisode.get(id)! + config.stepWeight * ofStep.get(id)![t - 1]!;
        return { advantage: Math.min(clip, Math.max(-clip, advantage)) };
      };
    },
    loss: (batch) => tokenLoss(batch, config),
    inert: ({ maxTurns }) => {
      if (config.stepWeight === 0) return ['algorithm.gamma never acts: stepWeight is 0, with which GiGPO is GRPO'];
      return maxTurns === 1
        ? ['algorithm.gamma never acts: with one turn the step advantage is the advantage of the episode']
        : [];
    },
  }),
};
