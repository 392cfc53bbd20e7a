import type { GspoConfig } from '../../schemas/train-config.js';
import { trajectoryAdvantages } from './advantages.js';
import { allTurnsAtOnce, scoresOf, type AlgorithmDefinition } from './algorithm.js';
import { seeupoLoss } from './objectives.js';

/** GSPO, arXiv 2507.18071: SeeUPO's sequence ratio and clip, all turns at once, so M is A. */
export const gspo: AlgorithmDefinition<GspoConfig> = {
  settings: {},
  of: (config) => ({
    ...allTurnsAtOnce,
    scores: scoresOf(config),
    advantages: trajectoryAdvantages(config),
    loss:
      ({ lengths }) =>
      (sample) =>
        seeupoLoss(sample, lengths.length, config),
  }),
};
