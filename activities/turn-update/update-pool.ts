import type { AlgorithmConfig, OptimizerConfig } from '../../schemas/train-config.js';
import type { TurnUpdateMetrics } from '../../schemas/metrics.js';
import { mean } from '../numerics/statistics.js';
import type { LossGradient, OnProgress, Policy, TokenSequence } from '../policy/policy.js';
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

/** What one optimiser step was made of. */
export interface PoolStep {
  readonly loss: number;
  readonly gradientNorm: number;
  /** Divergence of each sample from the frozen reference before the step, nats per token. */
  readonly kl: readonly number[];
}

/** Where a sample stands after the steps. */
export interface MeasuredSample {
  readonly id: string;
  /** M_{t+1,i} */
  readonly weight: number;
  /** rho_it */
  readonly ratio: number;
  /** -(mean log ratio) to theta_k, nats per token. */
  readonly klIteration: number;
}

type Denominators = ReadonlyMap<PoolSample, readonly number[]>;

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
  const { algorithm, optimizer, temperature, microBatchTokens } = options;
  const denominators = await denominatorsOf(policy, samples, options, onProgress);
  const steps: PoolStep[] = [];
  let tokens = 0;
  for (const minibatch of minibatchesOf(samples, options)) {
    const parts: SampleLoss[] = [];
    const gradient = lossGradient(minibatch, minibatch, denominators, options, parts);
    const { gradientNorm } = await policy.step(minibatch.map(sequenceOf), gradient, { temperature, microBatchTokens, ...optimizer, learningRate: options.learningRate?.(steps.length) ?? optimizer.learningRate }, onProgress);
    steps.push({ loss: totalLoss(parts, algorithm.klCoefficient), gradientNorm, kl: parts.map(({ kl }) => kl) });
    tokens += tokensOf(minibatch);
  }
  const measured = await measure(policy, samples, denominators, options, onProgress);
  return { ratios: new Map(measured.map(({ id, ratio }) => [id, ratio])), tokens, metrics: turnMetrics(measured, steps, options) };
}

/** The minibatch of every optimiser step of a turn, epoch after epoch. */
export const minibatchesOf = (samples: readonly PoolSample[], { algorithm, randomKey }: Pick<UpdatePoolOptions, 'algorithm' | 'randomKey'>): PoolSample[][] =>
  Array.from({ length: algorithm.epochs }, (_, epoch) => dealMinibatches(samples.map(({ taskId }) => taskId), algorithm.minibatches, `${randomKey}/${epoch}`))
    .flat()
    .map((taskIds) => samples.filter(({ taskId }) => taskIds.includes(taskId)));

/** Denominators of the ratios: theta_k, or theta as this turn found it (the authors' code), which `policy` must then hold. */
export async function denominatorsOf(policy: Pick<Policy, 'logProbs'>, samples: readonly PoolSample[], options: UpdatePoolOptions, onProgress: OnProgress): Promise<Denominators> {
  const { algorithm, temperature, microBatchTokens } = options;
  const ofTurn = algorithm.name === 'seeupo' && algorithm.ratioReference === 'turn' && samples.length > 0;
  const found = ofTurn
    ? await policy.logProbs(samples.map(sequenceOf), { temperature, microBatchTokens, weights: 'current' }, onProgress)
    : samples.map(({ old }) => old);
  return new Map(samples.map((sample, i) => [sample, found[i]!]));
}

/**
 * The loss of a minibatch, whose means are over all of it, as a policy takes it for some of its samples.
 * @param parts  filled with what each of `members` contributes
 */
export function lossGradient(
  minibatch: readonly PoolSample[],
  members: readonly PoolSample[],
  denominators: Denominators,
  { algorithm, maxResponseTokens, turn }: UpdatePoolOptions,
  parts: SampleLoss[],
): LossGradient {
  const lossOf = batchLoss(algorithm, minibatch.map(({ responseIds }) => responseIds.length), maxResponseTokens);
  return (indices, logProbs) =>
    indices.map((i, n) => {
      const part = lossOf({ ...members[i]!, old: denominators.get(members[i]!)!, current: logProbs[n]! });
      if (![part.surrogate, part.kl, ...part.gradient].every(Number.isFinite)) throw nonFinite(turn, members[i]!, part);
      parts.push(part);
      return part.gradient;
    });
}

/** rho and the divergence from theta_k of each sample, under the theta that `policy` holds. */
export async function measure(policy: Pick<Policy, 'logProbs'>, samples: readonly PoolSample[], denominators: Denominators, options: UpdatePoolOptions, onProgress: OnProgress): Promise<MeasuredSample[]> {
  const { temperature, microBatchTokens } = options;
  const current = await policy.logProbs(samples.map(sequenceOf), { temperature, microBatchTokens, weights: 'current' }, onProgress);
  return samples.map((sample, i) => ({
    id: sample.id,
    weight: sample.weight,
    ratio: sequenceRatio(current[i]!, denominators.get(sample)!),
    klIteration: -meanLogRatio(current[i]!, sample.old),
  }));
}

export function turnMetrics(measured: readonly MeasuredSample[], steps: readonly PoolStep[], { algorithm, turn }: Pick<UpdatePoolOptions, 'algorithm' | 'turn'>): TurnUpdateMetrics {
  const clip = 'clip' in algorithm ? algorithm.clip : null;
  const after = measured.map(({ ratio, weight }) => clippedTerm(ratio, weight, clip));
  const ratios = measured.map(({ ratio }) => ratio);
  return {
    turn,
    active: measured.length,
    optimizerSteps: steps.length,
    loss: mean(steps.map(({ loss }) => loss)),
    surrogateBefore: mean(measured.map(({ weight }) => weight)),
    surrogateAfter: mean(after.map(({ value }) => value)),
    klReference: mean(steps.flatMap(({ kl }) => kl)),
    klIteration: mean(measured.map(({ klIteration }) => klIteration)),
    clipFraction: mean(after.map(({ active }) => (active ? 0 : 1))),
    ratioMean: ratios.length === 0 ? 1 : mean(ratios),
    ratioMin: ratios.reduce((a, b) => Math.min(a, b), ratios.length === 0 ? 1 : Infinity),
    ratioMax: ratios.reduce((a, b) => Math.max(a, b), ratios.length === 0 ? 1 : -Infinity),
    gradientNorm: mean(steps.map(({ gradientNorm }) => gradientNorm)),
  };
}

export const sequenceOf = ({ taskId, promptIds, responseIds }: PoolSample): TokenSequence => ({ row: taskId, promptIds, responseIds });

export const tokensOf = (samples: readonly PoolSample[]): number =>
  samples.reduce((total, { promptIds, responseIds }) => total + promptIds.length + responseIds.length, 0);

const nonFinite = (turn: number, { id, weight }: PoolSample, { ratio, kl }: SampleLoss): NonFiniteLoss =>
  new NonFiniteLoss(
    `turn ${turn}, trajectory ${id}: the loss is no number (ratio ${ratio}, M ${weight}, KL ${kl}); theta was not changed. ` +
      'Lower optimizer.learningRate or set algorithm.suffixRatioClip, and start again from the last checkpoint',
  );
