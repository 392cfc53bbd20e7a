import { z } from 'zod';
import {
  Clip,
  common,
  Deviation,
  IntervalAroundOne,
  klIsOneThing,
  NORMALIZATIONS,
  resolved,
} from './algorithm-options.js';

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
    name: z.literal('seeupo'),
    /**
     * A named set of the options below; an option that is given wins over it.
     * paper: Eq. 6 to 8 as printed. authors: as their published code. exact-suffix: Eq. 8's product
     * recomputed at the current theta before each turn, because turns share parameters.
     */
    objective: z.enum(['paper', 'authors', 'exact-suffix']).default('paper'),
    /** Order in which the turn pools are updated; `reverse` (T..1) is what the theorems need. A list names every turn up to rollout.maxTurns once. */
    updateOrder: z
      .union([z.enum(['reverse', 'forward', 'random']), z.array(z.int().positive()).min(1)])
      .default('reverse'),
    /** What advantages are normalised by, Eq. 9: the whole batch, each group (biased), or nothing. */
    normalization: z.enum(NORMALIZATIONS).default('batch'),
    deviation: Deviation,
    /**
     * Batch statistics over all trajectories of the iteration, or over the active ones of each turn pool, which is an option of our own. The
     * authors' code takes them per pool, but over all its rows, the padded ones of ended trajectories included: those of the iteration.
     */
    advantageStatistics: z.enum(['iteration', 'turn-pool']).optional(),
    /** Denominator of the ratios s and rho: theta_k (paper), or theta as it stood before the turn's update (authors). */
    ratioReference: z.enum(['iteration', 'turn']).optional(),
    /**
     * Eq. 8's product as it accumulated (`running`), or recomputed at the current theta (`exact`): T - t more forward passes per turn. Both of
     * length-normalised ratios, as the paper says, which beyond one token are no change of measure. `density` is the running product of
     * pi_theta / pi_theta_k itself; over hundreds of tokens it is far from 1, so it needs suffixRatioClip.
     */
    suffixRatio: z.enum(['running', 'exact', 'density']).optional(),
    /** Eq. 6: a ratio below 1 - low or above 1 + high earns nothing more in its favoured direction. */
    clip: Clip.default({ low: 0.2, high: 0.2 }),
    /** c: a term with negative M is at least c M, however large its ratio; null is the paper, 3 the authors' code. */
    dualClip: z.number().gt(1).nullable().optional(),
    /** Clamp on each turn's ratio before it is multiplied into M, Eq. 8; null is the paper, [0.8, 1.2] the authors' code. */
    suffixRatioClip: IntervalAroundOne.nullable().optional(),
    /** Clamp on the running product of ratios; null is the paper, [0.8, 1.2] the authors' code. */
    suffixProductClip: IntervalAroundOne.nullable().optional(),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, SEEUPO_OBJECTIVES[given.objective]))
  .refine(({ suffixRatio, suffixRatioClip }) => suffixRatio !== 'density' || suffixRatioClip !== null, {
    path: ['suffixRatioClip'],
    error:
      'is null, but suffixRatio "density" multiplies whole ratios, which over many tokens leave every bound: set it, e.g. [0.5, 2]',
  });
export type SeeupoConfig = z.infer<typeof SeeupoConfig>;

/** REINFORCE with a group baseline, sequence level, all turns at once: loss -A log pi(y). No ratio, so no clip. */
export const ReinforceConfig = z
  .strictObject({
    name: z.literal('reinforce'),
    /** Baseline of a sample: the mean of the *others* of its group (RLOO), or of the whole group. */
    baseline: z.enum(['leave-one-out', 'group-mean']).default('leave-one-out'),
    normalization: z.enum(NORMALIZATIONS).default('none'),
    deviation: Deviation,
    /** log pi(y): the sum over its tokens (the sequence's own), or their mean. */
    aggregation: z.enum(['token-sum', 'token-mean']).default('token-sum'),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}));
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
    name: z.literal('grpo'),
    /**
     * A named set of the options below; an option that is given wins. dr-grpo (arXiv 2503.20783): no division by
     * the deviation nor by the length. dapo (arXiv 2503.14476): higher upper clip, mean over tokens, groups without
     * variance left out (not sampled again), no KL; its shaping of overlong responses is not here.
     */
    variant: z.enum(['grpo', 'dr-grpo', 'dapo']).default('grpo'),
    normalization: z.enum(NORMALIZATIONS).optional(),
    deviation: Deviation,
    /** Mean per response then over responses; over all tokens; or the sum over rollout.maxResponseTokens, then over responses. */
    aggregation: z.enum(['sequence-mean', 'token-mean', 'constant']).optional(),
    clip: Clip.optional(),
    /** c: a term with negative A is at least c A, however large its ratio; null disables. */
    dualClip: z.number().gt(1).nullable().default(null),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => {
    const set = { ...GRPO_VARIANTS[given.variant] };
    const klCoefficient = given.klCoefficient ?? ('klCoefficient' in set ? set.klCoefficient : undefined);
    return resolved({ ...given, klCoefficient }, set);
  });
export type GrpoConfig = z.infer<typeof GrpoConfig>;

/** GSPO (arXiv 2507.18071): SeeUPO's sequence ratio and clip, all turns at once, weighted by A alone. */
export const GspoConfig = z
  .strictObject({
    name: z.literal('gspo'),
    normalization: z.enum(NORMALIZATIONS).default('group'),
    deviation: Deviation,
    /** The SeeUPO paper's; the GSPO paper's own experiments clip at 3e-4 and 4e-4. */
    clip: Clip.default({ low: 0.2, high: 0.2 }),
    /** c: a term with negative A is at least c A, however large its ratio; null disables. */
    dualClip: z.number().gt(1).nullable().default(null),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}));
export type GspoConfig = z.infer<typeof GspoConfig>;

/**
 * PPO (arXiv 1707.06347) with a learned value head and generalised advantage estimation (arXiv 1506.02438), token level, all turns at
 * once. The tokens of all turns of a trajectory are one sequence whose last token is rewarded with R. Defaults are those of the SeeUPO
 * paper's PPO runs where its launchers state them, and a source is named where not.
 */
export const PpoConfig = z
  .strictObject({
    name: z.literal('ppo'),
    /** Discount per token; 1 is undiscounted. */
    gamma: z.number().gt(0).max(1).default(1),
    /** lambda of GAE: 1 is R - V (no bias from V), 0 the one-step error. */
    lambda: z.number().min(0).max(1).default(1),
    /** Advantages of all tokens of the iteration: minus their mean, over their deviation; or as they are. */
    normalization: z.enum(['batch', 'none']).default('batch'),
    /** Mean per response then over responses, or over all tokens. */
    aggregation: z.enum(['sequence-mean', 'token-mean']).default('sequence-mean'),
    clip: Clip.default({ low: 0.2, high: 0.2 }),
    /** c: a term with negative A is at least c A, however large its ratio; null disables. */
    dualClip: z.number().gt(1).nullable().default(null),
    /** Weight of the value loss, which also moves the adapter under the head; 0.5 as in OpenAI's baselines and CleanRL. */
    valueCoefficient: z.number().nonnegative().default(0.5),
    /** A value further than this from the one before the update earns nothing more by moving on; null disables. Units of the reward. */
    valueClip: z.number().positive().nullable().default(0.5),
    /** AdamW's rate for the value head, which starts at 0. The paper's critic, a whole model, learns at 1e-5; a linear head alone bears ten times that. */
    valueLearningRate: z.number().positive().default(1e-4),
    ...common,
    /** A critic learns from groups without variance too, so they stay. */
    skipGroupsWithoutVariance: z.literal(false).optional(),
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}));
export type PpoConfig = z.infer<typeof PpoConfig>;

/**
 * GiGPO (arXiv 2505.10978): GRPO whose advantage has a second part, taken over the turns of a task that answer the same
 * observation. Defaults are those of the paper's experiments.
 */
export const GigpoConfig = z
  .strictObject({
    name: z.literal('gigpo'),
    /** w: weight of the step advantage beside the episode's; 0 is GRPO. */
    stepWeight: z.number().nonnegative().default(1),
    /** Discount per turn of what a turn is worth: gamma^(turns to come) R. */
    gamma: z.number().gt(0).max(1).default(0.95),
    /** Whether both advantages are divided by the deviation of their group. */
    normalization: z.enum(['group', 'none']).default('group'),
    deviation: Deviation,
    /** Mean per response then over responses; over all tokens; or the sum over rollout.maxResponseTokens, then over responses. */
    aggregation: z.enum(['sequence-mean', 'token-mean', 'constant']).default('sequence-mean'),
    clip: Clip.default({ low: 0.2, high: 0.2 }),
    /** c: a term with negative A is at least c A, however large its ratio; null disables. */
    dualClip: z.number().gt(1).nullable().default(null),
    ...common,
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, given.normalization === 'group' ? { deviation: 'sample' } : {}));
export type GigpoConfig = z.infer<typeof GigpoConfig>;

/**
 * Turn-PPO (arXiv 2512.17008): PPO whose action is a whole turn, with a value, a step of GAE and a clipped ratio for each.
 * The ratio is length-normalised, as GSPO's: the geometric mean of its tokens' ratios. Discounts are those that the paper
 * found best; what it leaves to PPO is as in `ppo`.
 */
export const TurnPpoConfig = z
  .strictObject({
    name: z.literal('turn-ppo'),
    /** Discount per turn; 1 is undiscounted. */
    gamma: z.number().gt(0).max(1).default(0.99),
    /** lambda of GAE over turns: 1 has no bias from V, 0 is the error of one turn. */
    lambda: z.number().min(0).max(1).default(0.9),
    /** Advantages of all turns of the iteration: minus their mean, over their deviation; or as they are. */
    normalization: z.enum(['batch', 'none']).default('batch'),
    clip: Clip.default({ low: 0.2, high: 0.2 }),
    /** c: a term with negative A is at least c A, however large its ratio; null disables. */
    dualClip: z.number().gt(1).nullable().default(null),
    /** Weight of the value loss, which also moves the adapter under the head. */
    valueCoefficient: z.number().nonnegative().default(0.5),
    /** A value further than this from the one before the update earns nothing more by moving on; null disables. Units of the reward. */
    valueClip: z.number().positive().nullable().default(0.5),
    /** AdamW's rate for the value head, which starts at 0. */
    valueLearningRate: z.number().positive().default(1e-4),
    ...common,
    /** A critic learns from groups without variance too, so they stay. */
    skipGroupsWithoutVariance: z.literal(false).optional(),
  })
  .check(klIsOneThing)
  .transform((given) => resolved(given, {}));
export type TurnPpoConfig = z.infer<typeof TurnPpoConfig>;

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
