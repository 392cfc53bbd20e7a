import type { GrpoConfig } from '../../schemas/train-config.js';
import { trajectoryAdvantages } from './advantages.js';
import { allTurnsAtOnce, scoresOf, type AlgorithmDefinition } from './algorithm.js';
import { tokenLoss } from './objectives.js';

/** GRPO, arXiv 2402.03300, with its variants Dr. GRPO and DAPO: token-level ratios, one advantage a trajectory. */
export const grpo: AlgorithmDefinition<GrpoConfig> = {
  settings: {
    // The name of a set of options, each of which is listed by itself.
    variant: [],
    aggregation: ['update'],
  },
  of: (config) => ({
    ...allTurnsAtOnce,
    scores: scoresOf(config),
    advantages: trajectoryAdvantages(config),
    loss: (batch) => tokenLoss(batch, config),
  }),
};
