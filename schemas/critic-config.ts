import { z } from 'zod';
import { Clip, common, klIsOneThing, named, resolved, TEXTS } from './algorithm-options.js';

/**
 * PPO (arXiv 1707.06347) with a learned value head and generalised advantage estimation (arXiv 1506.02438), token level,
 * all turns at once. The tokens of all turns of a trajectory are one sequence whose last token is rewarded with R.
 * Defaults are those of the SeeUPO paper's PPO runs where its launchers state them; a source is named where not.
 */
export const PpoConfig = z
  .strictObject({
    name: named('ppo'),
    gamma: z.number().gt(0).max(1).default(1).meta({ description: 'Discount per token; 1 is undiscounted.' }),
    lambda: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .meta({
        description:
          'lambda of generalised advantage estimation over tokens: 1 is R - V (no bias from V), 0 is the error of ' +
          'one step.',
      }),
    normalization: z.enum(['batch', 'none']).default('batch').meta({ description: TEXTS.normalizationOfCritic }),
    aggregation: z.enum(['sequence-mean', 'token-mean']).default('sequence-mean').meta({
      description:
        'How the terms of the tokens are averaged: the mean per response, then over responses, or over all tokens.',
    }),
    clip: Clip.default({ low: 0.2, high: 0.2 }).meta({ description: TEXTS.clip }),
    dualClip: z.number().gt(1).nullable().default(null).meta({ description: TEXTS.dualClip }),
    valueCoefficient: z
      .number()
      .nonnegative()
      .default(0.5)
      .meta({
        description:
          'Weight of the value loss, which also moves the adapter under the value head. The default is that of ' +
          "OpenAI's baselines and CleanRL.",
      }),
    valueClip: z.number().positive().nullable().default(0.5).meta({ description: TEXTS.valueClip }),
    valueLearningRate: z
      .number()
      .positive()
      .default(1e-4)
      .meta({
        description:
          'Learning rate of AdamW for the value head, which starts at 0. The critic of the paper, a whole model, ' +
          'learns at 1e-5; a linear head alone bears ten times that.',
      }),
    ...common,
    skipGroupsWithoutVariance: z.literal(false).optional().meta({ description: TEXTS.keepsAllGroups }),
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}))
  .meta({
    description:
      'PPO (arXiv 1707.06347) with a learned value head and generalised advantage estimation (arXiv 1506.02438) ' +
      "over tokens, all turns at once. The defaults are those of the SeeUPO paper's PPO runs where its launchers " +
      'state them.',
  });
export type PpoConfig = z.infer<typeof PpoConfig>;

/**
 * Turn-PPO (arXiv 2512.17008): PPO whose action is a whole turn, with a value, a step of GAE and a clipped ratio for
 * each. The ratio is length-normalised, as GSPO's: the geometric mean of its tokens' ratios. Discounts are those that
 * the paper found best; what it leaves to PPO is as in `ppo`.
 */
export const TurnPpoConfig = z
  .strictObject({
    name: named('turn-ppo'),
    gamma: z.number().gt(0).max(1).default(0.99).meta({ description: 'Discount per turn; 1 is undiscounted.' }),
    lambda: z.number().min(0).max(1).default(0.9).meta({
      description:
        'lambda of generalised advantage estimation over turns: 1 has no bias from V, 0 is the error of one turn.',
    }),
    normalization: z.enum(['batch', 'none']).default('batch').meta({ description: TEXTS.normalizationOfCritic }),
    clip: Clip.default({ low: 0.2, high: 0.2 }).meta({ description: TEXTS.clip }),
    dualClip: z.number().gt(1).nullable().default(null).meta({ description: TEXTS.dualClip }),
    valueCoefficient: z.number().nonnegative().default(0.5).meta({ description: TEXTS.valueCoefficient }),
    valueClip: z.number().positive().nullable().default(0.5).meta({ description: TEXTS.valueClip }),
    valueLearningRate: z
      .number()
      .positive()
      .default(1e-4)
      .meta({ description: 'Learning rate of AdamW for the value head, which starts at 0.' }),
    ...common,
    skipGroupsWithoutVariance: z.literal(false).optional().meta({ description: TEXTS.keepsAllGroups }),
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}))
  .meta({
    description:
      'Turn-PPO (arXiv 2512.17008): PPO whose action is a whole turn, with one value, one step of generalised ' +
      'advantage estimation and one length-normalised ratio each. The discounts are those that the paper found best.',
  });
export type TurnPpoConfig = z.infer<typeof TurnPpoConfig>;
