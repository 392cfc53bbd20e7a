import type { TurnUpdateMetrics, Violation } from '../../schemas/metrics.js';
import type { AlgorithmConfig, GuardConfig, OptimizerConfig } from '../../schemas/train-config.js';
import type { ValueHead } from '../../schemas/turn-state.js';
import { mean } from '../numerics/statistics.js';
import type { LossGradient, OnProgress, Policy, TokenSequence } from '../policy/policy.js';
import { steppedValueHead } from '../algorithms/critic.js';
import { decisionOn, violationsOf } from './guard.js';
import { dealMinibatches } from './minibatches.js';
import { algorithmOf } from '../algorithms/index.js';
import { entropyGradient, type LossParts, type SampleLoss } from '../algorithms/objectives.js';
import { responseOf, weightOf, type PoolSample } from './pool-sample.js';
import { divergenceOf, measured, suffixRatioOf, surrogateOf, turnMetrics, type PoolStep } from './turn-metrics.js';

export interface UpdatePoolOptions {
  readonly turn: number;
  readonly algorithm: AlgorithmConfig;
  readonly optimizer: OptimizerConfig;
  readonly guard: GuardConfig;
  /** Of each optimiser step of this turn, from 0; left out, `optimizer`'s own. */
  readonly learningRate?: (step: number) => number;
  readonly temperature: number;
  readonly microBatchTokens: number;
  /** Longest response that the rollout allows: dr-grpo divides by it. */
  readonly maxResponseTokens: number;
  /** Order of the minibatches is a function of it. */
  readonly randomKey: string;
  /** Theta is still theta_k: no turn of the iteration has moved it. */
  readonly unmoved: boolean;
  /** PPO's, as the turn finds it. */
  readonly valueHead?: ValueHead;
}

export interface PoolUpdate {
  /** rho_it by trajectory; empty if the update was rejected: its ratios are 1. */
  readonly ratios: Map<string, number>;
  readonly metrics: TurnUpdateMetrics;
  /** Tokens that went through the model in steps. */
  readonly tokens: number;
  readonly valueHead: ValueHead | undefined;
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
 * `policy` holds theta and its moments when this is called, and the new ones when it returns, also those of a
 * rejected update: the caller commits the ones that the turn found.
 * @throws {NonFiniteLoss} naming the samples whose loss is no number, unless the guard's policy goes on
 */
export async function updatePool(
  policy: Policy,
  samples: readonly PoolSample[],
  options: UpdatePoolOptions,
  onProgress: OnProgress,
): Promise<PoolUpdate> {
  const { algorithm, guard, turn } = options;
  const scored = (): Promise<number[][]> => scoredBy(policy, samples, options, onProgress);
  const denominatorOf = await denominatorsOf(policy, samples, options, onProgress);
  const denominators = samples.map((sample) => denominatorOf.get(sample)!);
  const epochs = epochsOf(samples, options);
  // Theta as the turn found it: with one minibatch the first step's own forward pass is that of the whole pool.
  const isSeenByFirstStep = !startsAtOne(options) && algorithm.minibatches === 1;
  let found: readonly (readonly number[])[] =
    startsAtOne(options) || isSeenByFirstStep || samples.length === 0 ? denominators : await scored();
  const after = (logProbs: readonly (readonly number[])[]) =>
    measured(samples, denominatorOf, logProbs, samples, options);
  const judged = (logProbs: readonly (readonly number[])[]): Violation[] => {
    const [before, pool] = [after(found), after(logProbs)];
    return violationsOf(
      { surrogateBefore: surrogateOf(before), surrogateAfter: surrogateOf(pool), kl: divergenceOf(pool) },
      guard,
    );
  };

  const steps: PoolStep[] = [];
  let { valueHead } = options;
  let tokens = 0;
  let current: readonly (readonly number[])[] | null = null;
  let failure: NonFiniteLoss | null = null;
  let isStopped = false;
  for (const [epoch, minibatches] of epochs.entries()) {
    for (const minibatch of minibatches) {
      const step = await stepOn(
        policy,
        minibatch,
        denominatorOf,
        { ...options, ...(valueHead && { valueHead }) },
        steps.length,
        onProgress,
      );
      tokens += tokensOf(minibatch);
      if (step instanceof NonFiniteLoss) {
        if (guard.onViolation === 'warn') throw step;
        failure = step;
        break;
      }
      if (isSeenByFirstStep && steps.length === 0) found = step.logProbs;
      steps.push(step);
      valueHead = step.valueHead;
    }
    current = null;
    if (failure || epoch === epochs.length - 1) break;
    if (guard.onViolation !== 'stop-epochs') continue;
    current = await scored();
    if ((isStopped = judged(current).length > 0)) break;
  }

  current ??= await scored();
  const violations: Violation[] = [...new Set([...(failure ? (['non-finite'] as const) : []), ...judged(current)])];
  const decision = decisionOn(violations, guard, isStopped || failure !== null);
  const isFinite = after(current).every(({ ratio, surrogate, kl }) => [ratio, surrogate, kl].every(Number.isFinite));
  if (!isFinite && decision !== 'rejected') throw nonFiniteTheta(turn);
  const pool = after(isFinite ? current : found);
  return {
    ratios: new Map(decision === 'rejected' ? [] : samples.map(({ id }, i) => [id, suffixRatioOf(pool[i]!)])),
    tokens,
    metrics: turnMetrics(
      pool,
      { surrogateBefore: surrogateOf(after(found)), steps, critics: samples.flatMap(({ critic }) => critic ?? []) },
      { turn, algorithm, guard: { decision, violations } },
    ),
    valueHead: decision === 'rejected' ? options.valueHead : valueHead,
  };
}

type Step = PoolStep & { readonly logProbs: readonly (readonly number[])[]; readonly valueHead: ValueHead | undefined };

/** One optimiser step on a minibatch, or why it was not taken. */
async function stepOn(
  policy: Policy,
  minibatch: readonly PoolSample[],
  denominators: Denominators,
  options: UpdatePoolOptions,
  taken: number,
  onProgress: OnProgress,
): Promise<Step | NonFiniteLoss> {
  const { optimizer, algorithm, valueHead, turn } = options;
  const parts: LossParts[] = [];
  // A failure is noted here, and not told by its class: it may come back through another thread, as a plain error.
  const noted: { failure?: NonFiniteLoss } = {};
  const gradient = lossGradient(
    minibatch,
    minibatch,
    denominators,
    { ...options, isAtOne: taken === 0 && startsAtOne(options) },
    parts,
    noted,
  );
  const learningRate = options.learningRate?.(taken) ?? optimizer.learningRate;
  const stepOptions = {
    ...scoringOf(options),
    ...optimizer,
    learningRate,
    ...(valueHead && { valueHead: valueHead.weights }),
  };
  try {
    const { gradientNorm, logProbs, valueHeadGradient } = await policy.step(
      minibatch.map(sequenceOf),
      gradient,
      stepOptions,
      onProgress,
    );
    const { critic } = algorithmOf(algorithm);
    const stepped =
      valueHead && valueHeadGradient && critic
        ? steppedValueHead(valueHead, valueHeadGradient, { ...optimizer, learningRate: critic.learningRate })
        : valueHead;
    return Number.isFinite(gradientNorm) ? { parts, gradientNorm, logProbs, valueHead: stepped } : nonFiniteTheta(turn);
  } catch (error) {
    if (noted.failure) return noted.failure;
    throw error;
  }
}

type Denominators = ReadonlyMap<PoolSample, readonly number[]>;

/** The ratio is taken against theta as the turn found it, as in the authors' code, and not against theta_k. */
const isAgainstTurn = (algorithm: AlgorithmConfig): boolean => algorithmOf(algorithm).ratioReference === 'turn';

/** The turn begins with ratios that are 1 by construction: at its first step, of which see `isAtOne`. */
export const startsAtOne = ({ algorithm, unmoved }: Pick<UpdatePoolOptions, 'algorithm' | 'unmoved'>): boolean =>
  unmoved || isAgainstTurn(algorithm);

/** Denominators of the ratios: theta_k, or theta as this turn found it, which `policy` must then hold. */
export async function denominatorsOf(
  policy: Pick<Policy, 'logProbs'>,
  samples: readonly PoolSample[],
  options: UpdatePoolOptions,
  onProgress: OnProgress,
): Promise<Denominators> {
  const found =
    isAgainstTurn(options.algorithm) && samples.length > 0
      ? await scoredBy(policy, samples, options, onProgress)
      : samples.map(({ old }) => old);
  return new Map(samples.map((sample, i) => [sample, found[i]!]));
}

/** Log-probs of every sample under the theta that `policy` holds. */
export const scoredBy = async (
  policy: Pick<Policy, 'logProbs'>,
  samples: readonly PoolSample[],
  options: UpdatePoolOptions,
  onProgress: OnProgress,
): Promise<number[][]> =>
  policy.logProbs(samples.map(sequenceOf), { ...scoringOf(options), weights: 'current' }, onProgress);

export interface LossOptions extends Pick<UpdatePoolOptions, 'algorithm' | 'maxResponseTokens' | 'turn' | 'unmoved'> {
  /**
   * Theta is what the ratios are taken against: the log-probs of this very pass are the denominators. Scored before,
   * with tries of other shapes, they are the same number rounded otherwise (up to 0.03 nats in bf16), and a tight
   * clip would act on the difference.
   */
  readonly isAtOne: boolean;
}

/**
 * The loss of a minibatch, whose means are over all of it, as a policy takes it for some of its samples.
 * @param parts  filled with what each of `members` contributes
 * @param noted  tells of a loss that is no number, where the error that is thrown loses its class on the way
 */
export function lossGradient(
  minibatch: readonly PoolSample[],
  members: readonly PoolSample[],
  denominators: Denominators,
  { algorithm, maxResponseTokens, turn, unmoved, isAtOne }: LossOptions,
  parts: LossParts[],
  noted: { failure?: NonFiniteLoss } = {},
): LossGradient {
  const lengths = minibatch.map(({ responseIds }) => responseIds.length);
  const count = lengths.length;
  const { loss, critic: learned } = algorithmOf(algorithm);
  const lossOf = loss({ lengths, maxResponseTokens });
  const valueLossOf = learned?.loss({ lengths, maxResponseTokens });
  const { entropyCoefficient } = algorithm;
  return (indices, logProbs, { entropies, values }) => {
    const rows = indices.map((i, n) => {
      const sample = members[i]!;
      const L = sample.responseIds.length;
      const { critic } = sample;
      const current = logProbs[n]!;
      const old = isAtOne ? current : denominators.get(sample)!;
      const part = lossOf({ ...responseOf(sample), current, old, drawn: isAtOne && unmoved ? current : sample.old });
      const ofValue =
        valueLossOf && critic && values
          ? valueLossOf({ current: values[n]!, old: critic.values, returns: critic.returns })
          : null;
      if (![part.surrogate, part.kl, ...part.gradient, ofValue?.value ?? 0].every(Number.isFinite))
        throw (noted.failure = nonFinite(turn, sample, part));
      // By place: a policy that runs out of memory asks again.
      parts[i] = {
        surrogate: part.surrogate,
        kl: part.kl,
        entropy: mean(entropies[n]!),
        ...(ofValue && { valueLoss: ofValue.value }),
      };
      return { part, ofValue, L };
    });
    return {
      logProbs: rows.map(({ part }) => part.gradient),
      ...(entropyCoefficient > 0 && { entropies: rows.map(({ L }) => entropyGradient(L, count, entropyCoefficient)) }),
      ...(learned &&
        values && {
          values: rows.map(
            ({ ofValue, L }) => ofValue?.gradient.map((g) => learned.coefficient * g) ?? new Array<number>(L).fill(0),
          ),
        }),
    };
  };
}

/** The minibatches of every epoch. */
export const epochsOf = (
  samples: readonly PoolSample[],
  { algorithm, randomKey }: Pick<UpdatePoolOptions, 'algorithm' | 'randomKey'>,
): PoolSample[][][] =>
  Array.from({ length: algorithm.epochs }, (_, epoch) =>
    dealMinibatches(
      samples.map(({ taskId }) => taskId),
      algorithm.minibatches,
      `${randomKey}/${epoch}`,
    ).map((taskIds) => samples.filter(({ taskId }) => taskIds.includes(taskId))),
  );

export const scoringOf = ({ temperature, microBatchTokens }: UpdatePoolOptions) => ({ temperature, microBatchTokens });
export const sequenceOf = ({ taskId, promptIds, responseIds }: PoolSample): TokenSequence => ({
  prefixGroup: taskId,
  promptIds,
  responseIds,
});
export const tokensOf = (samples: readonly PoolSample[]): number =>
  samples.reduce((total, { promptIds, responseIds }) => total + promptIds.length + responseIds.length, 0);

const ADVICE =
  'Lower optimizer.learningRate or set algorithm.suffixRatioClip, and start again from the last checkpoint; or set guard.onViolation to "reject", which leaves such an update out';
const nonFinite = (turn: number, sample: PoolSample, { ratio, kl }: SampleLoss): NonFiniteLoss =>
  new NonFiniteLoss(
    `turn ${turn}, trajectory ${sample.id}: the loss is no number (ratio ${ratio}, M ${weightOf(sample)}, KL ${kl}); theta was not changed. ${ADVICE}`,
  );
const nonFiniteTheta = (turn: number): NonFiniteLoss =>
  new NonFiniteLoss(`turn ${turn}: a step made theta no number; the update was not committed. ${ADVICE}`);
