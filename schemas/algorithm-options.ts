import { z } from 'zod';

/** A clip range [1 - low, 1 + high] or an explicit interval around 1; null switches it off. */
export const IntervalAroundOne = z
  .tuple([z.number().positive(), z.number().positive()])
  .refine(([low, high]) => low <= 1 && 1 <= high, 'must contain 1, the ratio of an unmoved policy, e.g. [0.8, 1.2]');

export const Clip = z.strictObject({
  low: z.number().positive().lt(1).meta({
    description: 'Distance of the lower limit below 1: a ratio below 1 - low is clipped.',
  }),
  high: z.number().positive().meta({
    description: 'Distance of the upper limit above 1: a ratio above 1 + high is clipped.',
  }),
});
export const NORMALIZATIONS = ['batch', 'group', 'none'] as const;

/** The field that tells the algorithms apart. */
export const named = <const Name extends string>(name: Name) =>
  z.literal(name).meta({ description: 'Name of the algorithm.' });

/** Settings that every algorithm has: rewards, the divergence from the frozen reference, passes and steps. */
export const common = {
  rewardShaping: z
    .enum(['none', 'magnified'])
    .optional()
    .meta({
      description:
        "What advantages are made of. `none`: the reward R. `magnified`: as in the authors' code, 1 + 0.5 R where R " +
        '>= 1, and 0.5 R elsewhere.',
    }),
  advantageClip: z
    .number()
    .positive()
    .nullable()
    .optional()
    .meta({
      description:
        "Advantages are clamped to [-x, x], where x is this number; null disables it, as in the paper. The authors' " +
        'code uses 3.',
    }),
  klEstimator: z
    .enum(['k1', 'k2', 'k3', 'none'])
    .default('k3')
    .meta({
      description:
        'How the KL divergence from the frozen reference is estimated for each token, with d = log pi_ref - log ' +
        'pi_theta. `k1`: -d (as a loss, its expected gradient is 0 on-policy). `k2`: d^2 / 2. `k3`: exp(d) - d - 1. ' +
        '`none`: there is no KL term.',
    }),
  klCoefficient: z
    .number()
    .nonnegative()
    .optional()
    .meta({
      description:
        'beta: weight of the KL divergence from the frozen reference in the loss; 0 disables it. With klEstimator ' +
        '`none` the default is 0.',
    }),
  klImportanceWeighted: z
    .boolean()
    .optional()
    .meta({
      description:
        'Whether the KL estimate of each token is weighted by pi_theta / pi_theta_k, so that its expected gradient ' +
        'stays that of the divergence after theta has moved (DeepSeek-V3.2, arXiv 2512.02556). Left out, there is ' +
        "no weight, as in the paper and the authors' code.",
    }),
  skipGroupsWithoutVariance: z
    .boolean()
    .optional()
    .meta({
      description:
        'Whether groups whose rewards are all equal are left out of the update. Their advantage is 0, so only their ' +
        'KL term is lost, and the time that they would take. The paper keeps them.',
    }),
  entropyCoefficient: z
    .number()
    .nonnegative()
    .default(0)
    .meta({
      description:
        'Weight of the mean entropy of the policy, in nats per token, which is added to what is maximised; 0 ' +
        'disables it, as in the paper.',
    }),
  epochs: z.int().positive().default(1).meta({ description: 'Number of passes over the samples of an update.' }),
  minibatches: z.int().positive().default(1).meta({
    description: 'Number of optimiser steps per pass: the tasks are dealt over so many minibatches.',
  }),
};
export const Deviation = z
  .enum(['population', 'sample'])
  .optional()
  .meta({
    description:
      'Which standard deviation advantages are divided by. `population`, which is meant where it is left out: over ' +
      "n. `sample`: over n - 1, as in torch.std, and so in verl, TRL and the authors' code.",
  });

/** Texts of fields that several algorithms have. */
export const TEXTS = {
  normalization:
    'What advantages are normalised by (Eq. 9): the whole batch (`batch`), each group (`group`, which is ' +
    'biased), or nothing (`none`).',
  normalizationOfCritic:
    'What happens to the advantages of an iteration: minus their mean and divided by their deviation ' +
    '(`batch`), or nothing (`none`).',
  aggregation:
    'How the terms of the tokens are averaged. `sequence-mean`: the mean per response, then over responses. ' +
    '`token-mean`: over all tokens. `constant`: the sum of a response divided by rollout.maxResponseTokens, ' +
    'then the mean over responses.',
  clip: 'Limits of the ratio: beyond them, a sample earns nothing more in the direction that its advantage favours.',
  dualClip: 'c: a term with a negative advantage A is at least c A, however large its ratio; null disables it.',
  valueCoefficient: 'Weight of the value loss, which also moves the adapter under the value head.',
  valueClip:
    'How far a value may move from the one before the update, in units of the reward: beyond it, it earns ' +
    'nothing more; null disables it.',
  keepsAllGroups: 'Only false is possible: a critic learns from groups whose rewards are all equal, too.',
} as const;
const commonDefaults = { rewardShaping: 'none', advantageClip: null, skipGroupsWithoutVariance: false } as const;

/** Values given override the named set's; what is left out is spelled out. */
export function resolved<Given extends { klEstimator: string; klCoefficient?: number | undefined }, Set extends object>(
  given: Given,
  set: Set,
) {
  const stated = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Given;
  const klCoefficient = given.klCoefficient ?? (given.klEstimator === 'none' ? 0 : 0.002);
  return { ...commonDefaults, ...set, ...stated, klCoefficient } as Resolved<Given>;
}
/** Younger options, which stay out where nobody gives them: what runs stored before them keeps its bytes and hashes. */
type LeftOut = 'klImportanceWeighted' | 'deviation';
/** Every other option stated: a named set says the value of each. */
type Resolved<Given> = { [Key in Exclude<keyof Given, LeftOut>]-?: Exclude<Given[Key], undefined> } & Pick<
  Given,
  LeftOut & keyof Given
>;

export const klIsOneThing = ({
  value,
  issues,
}: z.core.ParsePayload<{ klEstimator: string; klCoefficient?: number | undefined }>): void => {
  if (value.klEstimator !== 'none' || !value.klCoefficient) return;
  issues.push({
    code: 'custom',
    input: value,
    path: ['klCoefficient'],
    message: `is ${value.klCoefficient}, but klEstimator is "none": set it to 0, or choose k3`,
  });
};
