import type { Quantiles, TurnUpdateMetrics } from '../../schemas/metrics.js';
import type { AlgorithmConfig } from '../../schemas/train-config.js';
import { groupBy } from '../numerics/group-by.js';
import { quantile } from '../numerics/quantile.js';
import { mean, sum } from '../numerics/statistics.js';
import { explainedVariance } from '../algorithms/critic.js';
import { algorithmOf } from '../algorithms/index.js';
import { k3, totalLoss, type LossParts } from '../algorithms/objectives.js';
import { responseOf, weightOf, type PoolSample } from './pool-sample.js';
import { densityRatio, sequenceRatio } from '../algorithms/suffix-ratios.js';

/** What one optimiser step was made of: the parts of its minibatch's loss, before the step. */
export interface PoolStep {
  readonly parts: readonly LossParts[];
  readonly gradientNorm: number;
}

/** Where a sample stands under some theta. */
export interface MeasuredSample extends Pick<PoolSample, 'id' | 'taskId' | 'advantage' | 'suffixProduct'> {
  /** rho_it: against the turn's denominator. */
  readonly ratio: number;
  /** rho_it of `suffixRatio: density`, not length-normalised; only there. */
  readonly density?: number | undefined;
  /** Its term of the surrogate over the whole pool. */
  readonly surrogate: number;
  readonly clipped: boolean;
  /** k3 estimate of KL(theta_k || theta) from its tokens, nats per token. */
  readonly kl: number;
}

/**
 * Samples of a pool under the theta whose log-probs are given.
 * @param denominators  log-probs that the ratios are taken against, per sample
 * @param pool          whole, as the surrogate's means are over it
 */
export function measured(
  samples: readonly PoolSample[],
  denominators: ReadonlyMap<PoolSample, readonly number[]>,
  logProbs: readonly (readonly number[])[],
  pool: readonly PoolSample[],
  { algorithm, maxResponseTokens }: { readonly algorithm: AlgorithmConfig; readonly maxResponseTokens: number },
): MeasuredSample[] {
  const { loss, carried } = algorithmOf(algorithm);
  const lossOf = loss({ lengths: pool.map(({ responseIds }) => responseIds.length), maxResponseTokens });
  return samples.map((sample, i) => {
    const current = logProbs[i]!;
    const old = denominators.get(sample)!;
    const { surrogate, clipped } = lossOf({ ...responseOf(sample), reference: null, old, current });
    const { id, taskId, advantage, suffixProduct } = sample;
    const kl = mean(sample.old.map((logProb, l) => k3(logProb, current[l]!)));
    const density = carried?.isDensity ? { density: densityRatio(current, old) } : {};
    return {
      id,
      taskId,
      advantage,
      suffixProduct,
      ratio: sequenceRatio(current, old),
      ...density,
      surrogate,
      clipped,
      kl,
    };
  });
}

/** What a sample multiplies into M, Eq. 8. */
export const suffixRatioOf = ({ ratio, density }: Pick<MeasuredSample, 'ratio' | 'density'>): number =>
  density ?? ratio;

/** The pool where every ratio is 1. */
export const measuredAtOne = (pool: readonly PoolSample[], options: Parameters<typeof measured>[4]): MeasuredSample[] =>
  measured(
    pool,
    new Map(pool.map((sample) => [sample, sample.old])),
    pool.map(({ old }) => old),
    pool,
    options,
  );

export const surrogateOf = (pool: readonly MeasuredSample[]): number => mean(pool.map(({ surrogate }) => surrogate));
export const divergenceOf = (pool: readonly MeasuredSample[]): number => mean(pool.map(({ kl }) => kl));

/**
 * Kish's effective sample size (sum w)^2 / sum w^2 of importance weights, as a share of their number: 1 if all are equal, 1/n if one
 * has all the weight. 1 for none.
 */
export function effectiveSampleSize(weights: readonly number[]): number {
  const squares = sum(weights.map((w) => w * w));
  return squares === 0 ? 1 : sum(weights) ** 2 / squares / weights.length;
}

const quantilesOf = (values: readonly number[], ofNone: number): Quantiles => {
  const [min, p05, p50, p95, max] = [0, 0.05, 0.5, 0.95, 1].map((q) =>
    values.length === 0 ? ofNone : quantile(values, q),
  );
  return { min: min!, p05: p05!, p50: p50!, p95: p95!, max: max! };
};

/** The figures of one turn's update. @param pool  as the turn left it */
export function turnMetrics(
  pool: readonly MeasuredSample[],
  {
    surrogateBefore,
    steps,
    critics = [],
  }: {
    readonly surrogateBefore: number;
    readonly steps: readonly PoolStep[];
    readonly critics?: readonly NonNullable<PoolSample['critic']>[];
  },
  {
    turn,
    algorithm,
    guard,
  }: { readonly turn: number; readonly algorithm: AlgorithmConfig; readonly guard: TurnUpdateMetrics['guard'] },
): TurnUpdateMetrics {
  const ratios = pool.map(({ ratio }) => ratio);
  const parts = steps.flatMap((step) => step.parts);
  const groups = [...groupBy(pool, ({ taskId }) => taskId).values()];
  return {
    turn,
    active: pool.length,
    optimizerSteps: guard.decision === 'rejected' ? 0 : steps.length,
    loss: mean(steps.map((step) => totalLoss(step.parts, algorithm))),
    surrogateBefore,
    surrogateAfter: surrogateOf(pool),
    klReference: mean(parts.map(({ kl }) => kl)),
    klIteration: divergenceOf(pool),
    clipFraction: mean(pool.map(({ clipped }) => (clipped ? 1 : 0))),
    ratioMean: ratios.length === 0 ? 1 : mean(ratios),
    ratio: quantilesOf(ratios, 1),
    weight: quantilesOf(pool.map(weightOf), 0),
    effectiveSampleSize: effectiveSampleSize(pool.map((sample) => sample.suffixProduct * suffixRatioOf(sample))),
    groupsWithoutVariance: mean(
      groups.map((group) => (group.every(({ advantage }) => advantage === group[0]!.advantage) ? 1 : 0)),
    ),
    entropy: mean(parts.map(({ entropy = 0 }) => entropy)),
    gradientNorm: mean(steps.map(({ gradientNorm }) => gradientNorm)),
    critic:
      critics.length === 0
        ? null
        : {
            valueLoss: mean(parts.map(({ valueLoss = 0 }) => valueLoss)),
            explainedVariance: explainedVariance(
              critics.flatMap(({ values }) => values),
              critics.flatMap(({ returns }) => returns),
            ),
          },
    guard,
  };
}
