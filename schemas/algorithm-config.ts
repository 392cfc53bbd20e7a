import { z } from 'zod';
import {
  Clip,
  common,
  Deviation,
  IntervalAroundOne,
  klIsOneThing,
  named,
  NORMALIZATIONS,
  resolved,
  TEXTS,
} from './algorithm-options.js';
import { PpoConfig, TurnPpoConfig } from './critic-config.js';

export { PpoConfig, TurnPpoConfig } from './critic-config.js';

const SEEUPO_OBJECTIVES = {
  paper: {
    ratioReference: 'iteration',
    suffixRatio: 'running',
    advantageStatistics: 'iteration',
    dualClip: null,
    suffixRatioClip: null,
    suffixProductClip: null,
  },
  authors: {
    ratioReference: 'turn',
    suffixRatio: 'running',
    advantageStatistics: 'iteration',
    deviation: 'sample',
    dualClip: 3,
    suffixRatioClip: [0.8, 1.2],
    suffixProductClip: [0.8, 1.2],
    advantageClip: 3,
    rewardShaping: 'magnified',
  },
  'exact-suffix': {
    ratioReference: 'iteration',
    suffixRatio: 'exact',
    advantageStatistics: 'iteration',
    dualClip: null,
    suffixRatioClip: null,
    suffixProductClip: null,
  },
} as const;

/** SeeUPO, arXiv 2602.06554 section 4; the defaults are the paper's objective. */
export const SeeupoConfig = z
  .strictObject({
    name: named('seeupo'),
    objective: z
      .enum(['paper', 'authors', 'exact-suffix'])
      .default('paper')
      .meta({
        description:
          'A named set of values for the fields below; a field that is given itself wins. `paper`: Eq. 6 to 8 as ' +
          'printed. `authors`: as in the published code of the authors. `exact-suffix`: the product of Eq. 8 is ' +
          'computed again with the current theta before each turn, because turns share parameters.',
      }),
    updateOrder: z
      .union([z.enum(['reverse', 'forward', 'random']), z.array(z.int().positive()).min(1)])
      .default('reverse')
      .meta({
        description:
          'Order in which the turns are updated. `reverse`, last turn first, is what the theorems need. A list ' +
          'names every turn from 1 to rollout.maxTurns once.',
      }),
    normalization: z.enum(NORMALIZATIONS).default('batch').meta({ description: TEXTS.normalization }),
    deviation: Deviation,
    advantageStatistics: z
      .enum(['iteration', 'turn-pool'])
      .optional()
      .meta({
        description:
          'Which trajectories the statistics of normalization `batch` are taken over. `iteration`: all of the ' +
          "iteration, as in the authors' code, which counts the padded rows of ended trajectories. `turn-pool`: " +
          'those that reach the turn, which is an option of this program.',
      }),
    ratioReference: z
      .enum(['iteration', 'turn'])
      .optional()
      .meta({
        description:
          'Denominator of the ratios s and rho: theta_k (`iteration`, the paper), or theta before the update of the ' +
          "turn (`turn`, the authors' code).",
      }),
    suffixRatio: z
      .enum(['running', 'exact', 'density'])
      .optional()
      .meta({
        description:
          'How the product of ratios in Eq. 8 is made. `running`: as it accumulated. `exact`: computed again with ' +
          'the current theta, which takes T - t more forward passes per turn t. Both use length-normalised ratios, ' +
          'as the paper says, which for more than one token are no change of measure. `density`: the running ' +
          'product of pi_theta / pi_theta_k itself; over hundreds of tokens it is far from 1, so it needs ' +
          'suffixRatioClip.',
      }),
    clip: Clip.default({ low: 0.2, high: 0.2 }).meta({ description: TEXTS.clip }),
    dualClip: z
      .number()
      .gt(1)
      .nullable()
      .optional()
      .meta({
        description:
          'c: a term with a negative weight M is at least c M, however large its ratio; null disables it, as in the ' +
          "paper. The authors' code uses 3.",
      }),
    suffixRatioClip: IntervalAroundOne.nullable()
      .optional()
      .meta({
        description:
          'Interval to which the ratio of each turn is clamped before it is multiplied into M (Eq. 8); null ' +
          "disables it, as in the paper. The authors' code uses [0.8, 1.2].",
      }),
    suffixProductClip: IntervalAroundOne.nullable()
      .optional()
      .meta({
        description:
          'Interval to which the running product of ratios is clamped; null disables it, as in the paper. The ' +
          "authors' code uses [0.8, 1.2].",
      }),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, SEEUPO_OBJECTIVES[given.objective]))
  .refine(({ suffixRatio, suffixRatioClip }) => suffixRatio !== 'density' || suffixRatioClip !== null, {
    path: ['suffixRatioClip'],
    error:
      'is null, but suffixRatio "density" multiplies whole ratios, which over many tokens leave every bound: set it, e.g. [0.5, 2]',
  })
  .meta({
    description:
      'SeeUPO (arXiv 2602.06554, section 4): turn after turn, each update weighted by how far the later turns have ' +
      "moved. The defaults are the paper's objective.",
  });
export type SeeupoConfig = z.infer<typeof SeeupoConfig>;

/** REINFORCE with a group baseline, sequence level, all turns at once: loss -A log pi(y). No ratio, so no clip. */
export const ReinforceConfig = z
  .strictObject({
    name: named('reinforce'),
    baseline: z
      .enum(['leave-one-out', 'group-mean'])
      .default('leave-one-out')
      .meta({
        description:
          'What is subtracted from the reward of a sample: the mean reward of the others of its group ' +
          '(`leave-one-out`, RLOO), or of the whole group (`group-mean`).',
      }),
    normalization: z.enum(NORMALIZATIONS).default('none').meta({ description: TEXTS.normalization }),
    deviation: Deviation,
    aggregation: z.enum(['token-sum', 'token-mean']).default('token-sum').meta({
      description:
        'What log pi of a response is: the sum over its tokens, which is its own log-probability, or their mean.',
    }),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}))
  .meta({
    description:
      'REINFORCE with a group baseline, on whole responses, all turns at once: the loss is -A log pi(y). There is ' +
      'no ratio, so there is no clip.',
  });
export type ReinforceConfig = z.infer<typeof ReinforceConfig>;

const GRPO_VARIANTS = {
  grpo: { normalization: 'group', deviation: 'sample', aggregation: 'sequence-mean', clip: { low: 0.2, high: 0.2 } },
  'dr-grpo': { normalization: 'none', aggregation: 'constant', clip: { low: 0.2, high: 0.2 }, klCoefficient: 0 },
  dapo: {
    normalization: 'group',
    deviation: 'sample',
    aggregation: 'token-mean',
    clip: { low: 0.2, high: 0.28 },
    klCoefficient: 0,
    skipGroupsWithoutVariance: true,
  },
} as const;

/** GRPO (arXiv 2402.03300): token-level ratios, group advantage, all turns at once. */
export const GrpoConfig = z
  .strictObject({
    name: named('grpo'),
    variant: z
      .enum(['grpo', 'dr-grpo', 'dapo'])
      .default('grpo')
      .meta({
        description:
          'A named set of values for the fields below; a field that is given itself wins. `dr-grpo` (arXiv ' +
          '2503.20783): no division by the deviation or by the length. `dapo` (arXiv 2503.14476): a higher upper ' +
          'clip, the mean over tokens, groups without variance left out (they are not sampled again), no KL term; ' +
          'its shaping of overlong responses is not here.',
      }),
    normalization: z.enum(NORMALIZATIONS).optional().meta({ description: TEXTS.normalization }),
    deviation: Deviation,
    aggregation: z
      .enum(['sequence-mean', 'token-mean', 'constant'])
      .optional()
      .meta({ description: TEXTS.aggregation }),
    clip: Clip.optional().meta({ description: TEXTS.clip }),
    dualClip: z.number().gt(1).nullable().default(null).meta({ description: TEXTS.dualClip }),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => {
    const set = { ...GRPO_VARIANTS[given.variant] };
    const klCoefficient = given.klCoefficient ?? ('klCoefficient' in set ? set.klCoefficient : undefined);
    return resolved({ ...given, klCoefficient }, set);
  })
  .meta({
    description: 'GRPO (arXiv 2402.03300): a ratio for each token, the advantage of the group, all turns at once.',
  });
export type GrpoConfig = z.infer<typeof GrpoConfig>;

/** GSPO (arXiv 2507.18071): SeeUPO's sequence ratio and clip, all turns at once, weighted by A alone. */
export const GspoConfig = z
  .strictObject({
    name: named('gspo'),
    normalization: z.enum(NORMALIZATIONS).default('group').meta({ description: TEXTS.normalization }),
    deviation: Deviation,
    clip: Clip.default({ low: 0.2, high: 0.2 }).meta({
      description:
        'Limits of the ratio: beyond them, a sample earns nothing more in the direction that its advantage favours. ' +
        "The default is the SeeUPO paper's; the experiments of the GSPO paper clip at 3e-4 and 4e-4.",
    }),
    dualClip: z.number().gt(1).nullable().default(null).meta({ description: TEXTS.dualClip }),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}))
  .meta({
    description:
      'GSPO (arXiv 2507.18071): a ratio for each response and a clip as in SeeUPO, all turns at once, weighted by A ' +
      'alone.',
  });
export type GspoConfig = z.infer<typeof GspoConfig>;

/**
 * GiGPO (arXiv 2505.10978): GRPO whose advantage has a second part, taken over the turns of a task that answer the same
 * observation. Defaults are those of the paper's experiments.
 */
export const GigpoConfig = z
  .strictObject({
    name: named('gigpo'),
    stepWeight: z
      .number()
      .nonnegative()
      .default(1)
      .meta({ description: 'w: weight of the step advantage beside that of the episode; 0 is GRPO.' }),
    gamma: z.number().gt(0).max(1).default(0.95).meta({
      description: 'Discount per turn of what a turn is worth, which is gamma^(turns to come) R; 1 is undiscounted.',
    }),
    normalization: z
      .enum(['group', 'none'])
      .default('group')
      .meta({ description: 'Whether both advantages are divided by the deviation of their group.' }),
    deviation: Deviation,
    aggregation: z
      .enum(['sequence-mean', 'token-mean', 'constant'])
      .default('sequence-mean')
      .meta({ description: TEXTS.aggregation }),
    clip: Clip.default({ low: 0.2, high: 0.2 }).meta({ description: TEXTS.clip }),
    dualClip: z.number().gt(1).nullable().default(null).meta({ description: TEXTS.dualClip }),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, given.normalization === 'group' ? { deviation: 'sample' } : {}))
  .meta({
    description:
      'GiGPO (arXiv 2505.10978): GRPO whose advantage has a second part, over the turns of a task that answer the ' +
      "same observation. The defaults are those of the paper's experiments.",
  });
export type GigpoConfig = z.infer<typeof GigpoConfig>;

/** Which rule makes theta_{k+1} of theta_k and its rollouts. */
export const AlgorithmConfig = z.discriminatedUnion('name', [
  SeeupoConfig,
  ReinforceConfig,
  GrpoConfig,
  GspoConfig,
  PpoConfig,
  GigpoConfig,
  TurnPpoConfig,
]);
export type AlgorithmConfig = z.infer<typeof AlgorithmConfig>;
