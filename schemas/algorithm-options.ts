import { z } from 'zod';

/** A clip range [1 - low, 1 + high] or an explicit interval around 1; null switches it off. */
export const IntervalAroundOne = z
  .tuple([z.number().positive(), z.number().positive()])
  .refine(([low, high]) => low <= 1 && 1 <= high, 'must contain 1, the ratio of an unmoved policy, e.g. [0.8, 1.2]');

export const Clip = z.strictObject({ low: z.number().positive().lt(1), high: z.number().positive() });
export const NORMALIZATIONS = ['batch', 'group', 'none'] as const;

/** Settings that every algorithm has: rewards, the divergence from the frozen reference, passes and steps. */
export const common = {
  /** What advantages are learned from: the reward R, or the authors' 1 + 0.5 R where R >= 1 and 0.5 R elsewhere. */
  rewardShaping: z.enum(['none', 'magnified']).optional(),
  /** Advantages are clamped to [-x, x]; null is the paper, 3 the authors' code. */
  advantageClip: z.number().positive().nullable().optional(),
  /**
   * Estimate of the divergence per token, d = log pi_ref - log pi_theta: k1 = -d (as a loss its expected
   * gradient is 0 on-policy), k2 = d^2 / 2, k3 = exp(d) - d - 1; `none` switches it off.
   */
  klEstimator: z.enum(['k1', 'k2', 'k3', 'none']).default('k3'),
  /** beta: weight of the divergence from the frozen reference; 0 disables. */
  klCoefficient: z.number().nonnegative().optional(),
  /**
   * Each token's estimate is weighted by pi_theta / pi_theta_k, so that its expected gradient is the divergence's after theta has moved, too
   * (DeepSeek-V3.2, arXiv 2512.02556). Left out, as in the paper and the authors' code, it is as if theta had drawn the tokens.
   */
  klImportanceWeighted: z.boolean().optional(),
  /**
   * Leave groups whose rewards are all equal out of the update: their advantage is 0, so only their
   * KL term is lost, and the passes through the model that it would cost. The paper keeps them.
   */
  skipGroupsWithoutVariance: z.boolean().optional(),
  /** Weight of the policy's mean entropy per token (nats), which is added to what is maximised; 0 disables, as in the paper. */
  entropyCoefficient: z.number().nonnegative().default(0),
  /** Passes over a pool. */
  epochs: z.int().positive().default(1),
  /** Optimiser steps per pass: the pool's tasks are dealt over so many minibatches. */
  minibatches: z.int().positive().default(1),
};
/** What normalisation divides by: over n (`population`, which is meant where it is left out), or over n - 1 as torch.std, and so verl, TRL and the authors' code. */
export const Deviation = z.enum(['population', 'sample']).optional();
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
