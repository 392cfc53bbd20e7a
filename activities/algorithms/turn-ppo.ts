import type { TurnPpoConfig } from '../../schemas/algorithm-config.js';
import { shapedReward } from './advantages.js';
import { allTurnsAtOnce, scoresOf, type AlgorithmDefinition } from './algorithm.js';
import { valueLoss } from './critic.js';
import { tokenAdvantagesOf } from './generalized-advantages.js';
import { seeupoLoss } from './objectives.js';

const UNTRAINED =
  'algorithm.valueLearningRate and valueClip never act: valueCoefficient is 0, ' +
  'so the value head stays 0 and every turn is worth the discounted reward';

/**
 * PPO in the MDP of turns, arXiv 2512.17008: a state is all that the model was shown, an action is the whole
 * response. So there is one value a turn, V at the last prompt token (which predicts the response's first token), one
 * step of GAE a turn, and one ratio a turn to clip.
 */
export const turnPpo: AlgorithmDefinition<TurnPpoConfig> = {
  settings: {
    gamma: ['update'],
    lambda: ['update'],
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
        values: valuesOf(id).map((ofTurn) => ofTurn.slice(0, 1)),
      }));
      const byTurn = tokenAdvantagesOf(valued, config); // of turns with one value each: a turn is what a token is there
      const found = new Map(trained.map(({ id }, i) => [id, byTurn[i]!]));
      return (id, t) => {
        const { advantages, returns, values } = found.get(id)![t - 1]!;
        return { advantage: advantages[0]!, critic: { returns, values } };
      };
    },
    loss:
      ({ lengths }) =>
      (sample) =>
        seeupoLoss(sample, lengths.length, config),
    critic: {
      coefficient: config.valueCoefficient,
      learningRate: config.valueLearningRate,
      loss:
        ({ lengths }) =>
        ({ current, old, returns }) => {
          const atPrompt = { current: current.slice(0, 1), old, returns };
          const { value, gradient } = valueLoss(atPrompt, { count: lengths.length, scale: 1 }, config.valueClip);
          return { value, gradient: current.map((_, l) => gradient[l] ?? 0) };
        },
    },
    inert: ({ maxTurns }) => [
      ...(config.valueCoefficient === 0 ? [UNTRAINED] : []),
      ...(maxTurns === 1 ? ['algorithm.gamma and lambda never act: with one turn the advantage is R - V'] : []),
    ],
  }),
};
