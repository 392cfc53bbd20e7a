import type { AlgorithmConfig, OptimizerConfig } from '../../schemas/train-config.js';
import type { TurnUpdateMetrics } from '../../schemas/metrics.js';
import { mean } from '../numerics/statistics.js';
import type { OnProgress, Policy, TokenSequence } from '../policy/policy.js';
import { dealMinibatches } from './minibatches.js';
import { batchLoss, clippedTerm, totalLoss, type SampleLoss } from './objectives.js';
import { meanLogRatio, sequenceRatio } from './suffix-ratios.js';

/** One active trajectory's seat in D_t: its turn's tokens and what is known about them. */
export interface PoolSample {
  readonly id: string;
  readonly taskId: string;
  readonly promptIds: readonly number[];
  readonly responseIds: readonly number[];
  /** log pi_theta_k, nats. */
  readonly old: readonly number[];
  readonly reference: readonly number[] | null;
  /** M_{t+1,i} */
  readonly weight: number;
}

export interface UpdatePoolOptions {
  readonly turn: number;
  readonly algorithm: AlgorithmConfig;
  readonly optimizer: OptimizerConfig;
  /** Of each optimiser step of this turn, from 0; left out, `optimizer`'s own. */
  readonly learningRate?: (step: number) => number;
  readonly temperature: number;
  readonly microBatchTokens: number;
  /** Longest response that the rollout allows: dr-grpo divides by it. */
  readonly maxResponseTokens: number;
  /** Order of the minibatches is a function of it. */
  readonly randomKey: string;
}

/** The loss is not a number: theta was not changed by this step. */
export class NonFiniteLoss extends Error {
  override readonly name = 'NonFiniteLoss';
}

/**
 * One turn of the sequential update (Eq. 6): epochs of minibatches of AdamW steps on the samples of
 * D_t, then rho_it, the ratio of the new theta to theta_k (`ratioReference: turn`: to theta as it
 * found it) on the same samples. The rivals have one pool with all turns and no use for rho.
 *
 * `policy` holds theta and its moments when this is called, and the new ones when it returns.
 * @throws {NonFiniteLoss} naming the samples whose loss is no number
 */
export async function updatePool(
  policy: Policy,
  samples: readonly PoolSample[],
  options: UpdatePoolOptions,
  onProgress: OnProgress,
): Promise<{ ratios: Map<string, number>; metrics: TurnUpdateMetrics; tokens: number }> {
  const { algorithm, optimizer, turn, temperature, microBatchTokens, maxResponseTokens } = options;
  const sequenceOf = ({ taskId, promptIds, responseIds }: PoolSample): TokenSequence => ({ row: taskId, promptIds, responseIds });
  const scoring = { temperature, microBatchTokens };
  // Denominators of the ratios: theta_k, or theta as this turn found it (the authors' code).
  const denominators =
    algorithm.name === 'seeupo' && algorithm.ratioReference === 'turn' && samples.length > 0
      ? await policy.logProbs(samples.map(sequenceOf), { ...scoring, weights: 'current' }, onProgress)
      : samples.map(({ old }) => old);
  const denominatorOf = new Map(samples.map((sample, i) => [sample, denominators[i]!]));
  const losses: number[] = [];
  const norms: number[] = [];
  const parts: SampleLoss[] = [];
  let tokens = 0;
  for (let epoch = 0; epoch < algorithm.epochs; epoch++) {
    for (const taskIds of dealMinibatches(samples.map(({ taskId }) => taskId), algorithm.minibatches, `${options.randomKey}/${epoch}`)) {
      const batch = samples.filter(({ taskId }) => taskIds.includes(taskId));
      const lossOf = batchLoss(algorithm, batch.map(({ responseIds }) => responseIds.length), maxResponseTokens);
      const batchParts: SampleLoss[] = [];
      const { gradientNorm } = await policy.step(
        batch.map(sequenceOf),
        (indices, logProbs) =>
          indices.map((i, n) => {
            const part = lossOf({ ...batch[i]!, old: denominatorOf.get(batch[i]!)!, current: logProbs[n]! });
            if (![part.surrogate, part.kl, ...part.gradient].every(Number.isFinite)) throw nonFinite(turn, batch[i]!, part);
            batchParts.push(part);
            return part.gradient;
          }),
        { ...scoring, ...optimizer, learningRate: options.learningRate?.(norms.length) ?? optimizer.learningRate },
        onProgress,
      );
      losses.push(totalLoss(batchParts, algorithm.klCoefficient));
      norms.push(gradientNorm);
      parts.push(...batchParts);
      tokens += batch.reduce((total, { promptIds, responseIds }) => total + promptIds.length + responseIds.length, 0);
    }
  }
  const current = await policy.logProbs(samples.map(sequenceOf), { ...scoring, weights: 'current' }, onProgress);
  const ratios = samples.map((_, i) => sequenceRatio(current[i]!, denominators[i]!));
  const clip = 'clip' in algorithm ? algorithm.clip : null;
  const after = samples.map(({ weight }, i) => clippedTerm(ratios[i]!, weight, clip));
  return {
    ratios: new Map(samples.map(({ id }, i) => [id, ratios[i]!])),
    tokens,
    metrics: {
      turn,
      active: samples.length,
      optimizerSteps: norms.length,
      loss: mean(losses),
      surrogateBefore: mean(samples.map(({ weight }) => weight)),
      surrogateAfter: mean(after.map(({ value }) => value)),
      klReference: mean(parts.map(({ kl }) => kl)),
      klIteration: mean(samples.map(({ old }, i) => -meanLogRatio(current[i]!, old))),
      clipFraction: mean(after.map(({ active }) => (active ? 0 : 1))),
      ratioMean: ratios.length === 0 ? 1 : mean(ratios),
      ratioMin: ratios.reduce((a, b) => Math.min(a, b), samples.length === 0 ? 1 : Infinity),
      ratioMax: ratios.reduce((a, b) => Math.max(a, b), samples.length === 0 ? 1 : -Infinity),
      gradientNorm: mean(norms),
    },
  };
}

const nonFinite = (turn: number, { id, weight }: PoolSample, { ratio, kl }: SampleLoss): NonFiniteLoss =>
  new NonFiniteLoss(
    `turn ${turn}, trajectory ${id}: the loss is no number (ratio ${ratio}, M ${weight}, KL ${kl}); theta was not changed. ` +
      'Lower optimizer.learningRate or set algorithm.suffixRatioClip, and start again from the last checkpoint',
  );
