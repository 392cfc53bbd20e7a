import type { PpoConfig } from '../../schemas/train-config.js';
import { mean } from '../numerics/statistics.js';
import { shapedReward } from './advantages.js';
import { allTurnsAtOnce, scoresOf, type AlgorithmDefinition } from './algorithm.js';
import { valueLoss } from './critic.js';
import { tokenAdvantagesOf } from './generalized-advantages.js';
import { tokenLoss, tokenScale } from './objectives.js';

const UNTRAINED =
  'algorithm.valueLearningRate and valueClip never act: valueCoefficient is 0, ' +
  'so the value head stays 0 and the advantage of every token is the reward';

/** PPO, arXiv 1707.06347: GAE over the tokens of all turns in a row, a clip per token, a linear value head. */
export const ppo: AlgorithmDefinition<PpoConfig> = {
  settings: {
    gamma: ['update'],
    lambda: ['update'],
    aggregation: ['update'],
    valueCoefficient: ['update'],
    valueClip: ['update'],
    valueLearningRate: ['update'],
  },
  of: (config) => ({
    ...allTurnsAtOnce,
    scores: scoresOf(config, true),
    advantages: ({ trained, valuesOf }) => {
      const valued = trained.map(({ id, reward }) => ({
        reward: shapedReward(reward, config.rewardShaping),
        values: valuesOf(id),
      }));
      const byTurn = tokenAdvantagesOf(valued, config);
      const critics = new Map(trained.map(({ id }, i) => [id, byTurn[i]!]));
      return (id, t) => {
        const critic = critics.get(id)![t - 1]!;
        return { advantage: mean(critic.advantages), critic };
      };
    },
    loss: (batch) => tokenLoss(batch, config),
    critic: {
      coefficient: config.valueCoefficient,
      learningRate: config.valueLearningRate,
      loss: ({ lengths, maxResponseTokens }) => {
        const scaleOf = tokenScale(config, lengths, maxResponseTokens);
        return (sample) =>
          valueLoss(sample, { count: lengths.length, scale: scaleOf(sample.current.length) }, config.valueClip);
      },
    },
    inert: () => (config.valueCoefficient === 0 ? [UNTRAINED] : []),
  }),
};
