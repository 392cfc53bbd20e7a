import type { ReinforceConfig } from '../../schemas/train-config.js';
import { trajectoryAdvantages } from './advantages.js';
import { allTurnsAtOnce, scoresOf, type AlgorithmDefinition } from './algorithm.js';
import { reinforceLoss } from './objectives.js';

const OFF_POLICY =
  'algorithm.epochs and minibatches above 1 are not REINFORCE: it has no ratio, ' +
  'so every step after the first treats tokens of theta_k as drawn by theta. Set both to 1, or choose gspo';

/** REINFORCE with a group baseline: log pi(y) of the whole response, no ratio. */
export const reinforce: AlgorithmDefinition<ReinforceConfig> = {
  settings: { baseline: ['grouping', 'update'], aggregation: ['update'] },
  of: (config) => ({
    ...allTurnsAtOnce,
    scores: scoresOf(config),
    advantages: trajectoryAdvantages(config),
    loss:
      ({ lengths }) =>
      (sample) => {
        const scale = config.aggregation === 'token-sum' ? 1 : 1 / sample.current.length;
        return reinforceLoss(sample, { count: lengths.length, scale }, config);
      },
    inert: ({ isOneStep }) => (isOneStep ? [] : [OFF_POLICY]),
  }),
};
