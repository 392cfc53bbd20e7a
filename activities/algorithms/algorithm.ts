import type { AlgorithmConfig } from '../../schemas/train-config.js';
import type { RunRef } from '../../schemas/run.js';
import type { Turn } from '../../schemas/trajectory.js';
import type { SuffixProducts } from '../../schemas/turn-state.js';
import type { RewardedTrajectory } from './advantages.js';
import type { ValueSample } from './critic.js';
import type { ResponseSample, SampleLoss } from './objectives.js';
import { together, type Pooling } from './turn-pools.js';

/**
 * The steps that read a setting, in the order in which a run does them.
 *
 * - `start`: the model, the tasks and the form of theta, on which everything stands
 * - `rollout`, `grouping`, `scoring`: an iteration before its updates
 * - `order`: which updates an iteration consists of; it is fixed when the iteration begins
 * - `update`: the update of a turn, which reads it afresh
 * - `product`: the product of ratios (Eq. 8) that an update hands on to the next one
 * - `evaluation`, `after`: evaluations; what is done with results, and how long a run is
 */
export type SettingReader =
  | 'start'
  | 'rollout'
  | 'grouping'
  | 'scoring'
  | 'order'
  | 'update'
  | 'product'
  | 'evaluation'
  | 'after';

/** A trajectory as advantages are made of it. */
export interface Episode extends RewardedTrajectory {
  readonly turns: readonly Pick<Turn, 'promptIds' | 'observationHash'>[];
}

/** What the advantages of an update are made of. */
export interface ScoredIteration {
  /** Every trajectory of the iteration: what groups and their statistics are taken over. */
  readonly episodes: readonly Episode[];
  /** Those whose groups are trained on: the only ones with values. */
  readonly trained: readonly Episode[];
  /** The turn whose pool is updated, from 1; 1 where all turns are one pool. */
  readonly turn: number;
  /** [turn][token]: V before each token of a trajectory's responses under theta_k's value head. Only with a critic. */
  valuesOf(id: string): readonly (readonly number[])[];
}

/** What a critic is trained towards at one response. */
export interface CriticTargets {
  /** Of each token; left out: the response has one advantage. */
  readonly advantages?: readonly number[];
  /** What V is trained towards, and V under theta_k's head: of each token, or of those at which the critic is asked. */
  readonly returns: readonly number[];
  readonly values: readonly number[];
}

/** What one response is learned from. */
export interface TurnAdvantage {
  /** A; of an algorithm with an advantage a token, their mean. */
  readonly advantage: number;
  readonly critic?: CriticTargets;
}

/** A minibatch or a pool, as far as a loss depends on the whole of it. */
export interface Batch {
  /** Tokens of each response: means are over them. */
  readonly lengths: readonly number[];
  /** Longest response that the rollout allows. */
  readonly maxResponseTokens: number;
}

/** A value head that learns beside the policy. */
export interface Critic {
  /** Weight of its loss, which also moves the adapter under the head. */
  readonly coefficient: number;
  /** AdamW's rate for the head itself. */
  readonly learningRate: number;
  /** Its loss at one response, as part of the batch's mean, and the gradient by V before each token of the response. */
  loss(batch: Batch): (sample: ValueSample) => { readonly value: number; readonly gradient: number[] };
}

/** Products of ratios that a turn's update hands on to the next one. */
export interface CarriedProducts {
  /** What is multiplied is pi_theta / pi_theta_k itself, and not its L-th root. */
  readonly isDensity: boolean;
  /** All ratios are taken again at the theta that a turn finds, over the turns updated before it. */
  readonly isRecomputed: boolean;
  /** @param ratios  of the trajectories that were active at the turn just updated */
  extend(products: SuffixProducts, ratios: ReadonlyMap<string, number>): SuffixProducts;
}

/**
 * A rule that makes theta_{k+1} of theta_k and its rollouts, with its settings: all that the stages of a run ask of
 * it.
 */
export interface Algorithm {
  /** Which turns make a pool, that is, an update. */
  readonly pooling: Pooling;
  /** Order in which the pools are updated. */
  readonly updateOrder: Exclude<RunRef['updateOrder'], { random: number }> | 'random';
  /** Denominator of the ratios: theta_k, or theta as the turn finds it. */
  readonly ratioReference: 'iteration' | 'turn';
  /** What is scored before the first update, beside log-probs under theta_k. */
  readonly scores: { readonly reference: boolean; readonly values: boolean };
  /** The one place where advantages are made. @returns what turn t (from 1) of a trained trajectory is learned from */
  advantages(iteration: ScoredIteration): (id: string, t: number) => TurnAdvantage;
  /** The loss of one response, as part of the batch's mean, and its gradient by the response's log-probs. */
  loss(batch: Batch): (sample: ResponseSample) => SampleLoss;
  readonly critic: Critic | null;
  readonly carried: CarriedProducts | null;
  /** Its settings that cannot act in this combination, each as a sentence that says why. */
  inert(limits: { readonly maxTurns: number; readonly isOneStep: boolean }): string[];
}

/** An algorithm before it has its settings. */
export interface AlgorithmDefinition<Config extends AlgorithmConfig> {
  /** Who reads the settings that not every algorithm has; of those that all have: run/setting-readers.ts. */
  readonly settings: { readonly [Setting in OwnSetting<Config>]: readonly SettingReader[] };
  of(config: Config): Algorithm;
}
/** Settings of an algorithm but for those that all of them have, and for blocks of settings. */
type OwnSetting<Config> = Exclude<Config extends unknown ? keyof Config : never, SharedSetting> & string;
type SharedSetting = keyof AlgorithmConfig | 'clip' | 'dualClip' | 'deviation';

/**
 * What most algorithms have in common: one pool with all turns, ratios against theta_k, nothing learned or handed on
 * beside theta.
 */
export const allTurnsAtOnce = {
  pooling: together,
  updateOrder: 'forward',
  ratioReference: 'iteration',
  critic: null,
  carried: null,
  inert: (): string[] => [],
} as const satisfies Partial<Algorithm>;

/** Log-probs of the frozen reference are needed wherever the divergence from it is weighed. */
export const scoresOf = (
  { klCoefficient }: { readonly klCoefficient: number },
  values = false,
): Algorithm['scores'] => ({
  reference: klCoefficient !== 0,
  values,
});
