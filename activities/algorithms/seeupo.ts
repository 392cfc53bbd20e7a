import type { SeeupoConfig } from '../../schemas/train-config.js';
import { groupRelativeAdvantages } from './advantages.js';
import { allTurnsAtOnce, scoresOf, type AlgorithmDefinition } from './algorithm.js';
import { seeupoLoss } from './objectives.js';
import { extendSuffixProducts } from './suffix-ratios.js';
import { turnByTurn } from './turn-pools.js';

const ONE_TURN =
  'algorithm.updateOrder, suffixRatio, suffixRatioClip and suffixProductClip never act: with one turn SeeUPO is GSPO';

/**
 * SeeUPO, arXiv 2602.06554: turn after turn, each on D_t weighted by M_{t+1} (Eq. 6), whose new ratios go into M (Eq.
 * 8).
 */
export const seeupo: AlgorithmDefinition<SeeupoConfig> = {
  settings: {
    // The name of a set of options, each of which is listed by itself.
    objective: [],
    updateOrder: ['order'],
    advantageStatistics: ['update'],
    ratioReference: ['update', 'product'],
    suffixRatio: ['update', 'product'],
    suffixRatioClip: ['update', 'product'],
    suffixProductClip: ['update', 'product'],
  },
  of: (config) => ({
    ...allTurnsAtOnce,
    pooling: turnByTurn,
    updateOrder: config.updateOrder,
    ratioReference: config.ratioReference,
    scores: scoresOf(config),
    advantages: ({ episodes, turn }) => {
      const isOfPool = config.advantageStatistics === 'turn-pool';
      const active = isOfPool
        ? new Set(episodes.filter(({ turns }) => turns.length >= turn).map(({ id }) => id))
        : undefined;
      const advantages = groupRelativeAdvantages(episodes, config, active);
      return (id) => ({ advantage: advantages.get(id)! });
    },
    loss:
      ({ lengths }) =>
      (sample) =>
        seeupoLoss(sample, lengths.length, config),
    carried: {
      isDensity: config.suffixRatio === 'density',
      isRecomputed: config.suffixRatio === 'exact',
      extend: (products, ratios) => extendSuffixProducts(products, ratios, config),
    },
    inert: ({ maxTurns }) => {
      const { advantageStatistics, normalization } = config;
      return [
        ...(maxTurns === 1 ? [ONE_TURN] : []),
        ...(advantageStatistics === 'turn-pool' && normalization !== 'batch'
          ? [`algorithm.advantageStatistics "turn-pool" never acts: normalization is "${normalization}"`]
          : []),
      ];
    },
  }),
};
