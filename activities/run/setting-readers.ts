import type { TrainConfig } from '../../schemas/train-config.js';
import type { SettingReader } from '../algorithms/algorithm.js';
import { algorithmOf, isAlgorithm, readersOfAlgorithms } from '../algorithms/index.js';

/**
 * Which steps read which setting: one line a setting, and the one place that says it, but for settings that not every
 * algorithm has: each algorithm says that of its own. What may change when (in a fork, during a run) is derived from
 * this. A test holds it against the schema, and against what the steps of a run do when the setting is another.
 */
export const SETTING_READERS: Readonly<Record<string, readonly SettingReader[]>> = {
  title: ['after'],
  seed: ['rollout', 'update', 'evaluation'],
  iterations: ['update', 'after'],
  'model.path': ['start'],
  'model.acceptSettings': ['start'],
  'environment.name': ['start'],
  'environment.taskSet': ['start'],
  'rollout.groupSize': ['rollout'],
  'rollout.tasksPerIteration': ['rollout'],
  'rollout.tasksPerShard': ['rollout', 'evaluation'],
  'rollout.temperature': ['rollout', 'scoring', 'update', 'evaluation'],
  'rollout.maxResponseTokens': ['rollout', 'update', 'evaluation'],
  'rollout.maxTurns': ['rollout', 'evaluation'],
  'rollout.maxPromptTokens': ['rollout', 'evaluation'],
  'rollout.templateArguments': ['rollout', 'evaluation'],
  'rollout.templateDate': ['rollout', 'evaluation'],
  'rollout.history': ['rollout', 'evaluation'],
  'rollout.maxObservationTokens': ['rollout', 'evaluation'],
  'rollout.truncatedResponse': ['rollout', 'evaluation'],
  'rollout.cutEpisodeReward': ['rollout', 'evaluation'],
  training: ['start'],
  'lora.rank': ['start'],
  'lora.alpha': ['start'],
  'update.shards': ['order'],
  'warmStart.epochs': ['start'],
  'warmStart.batchSize': ['start'],
  'warmStart.maxTokens': ['start'],
  'warmStart.optimizer.learningRate': ['start'],
  'warmStart.optimizer.betas': ['start'],
  'warmStart.optimizer.epsilon': ['start'],
  'warmStart.optimizer.weightDecay': ['start'],
  'warmStart.optimizer.maxGradientNorm': ['start'],
  'warmStart.warmUpSteps': ['start'],
  'warmStart.finalRate': ['start'],
  'algorithm.name': ['grouping', 'scoring', 'order', 'update'],
  ...Object.fromEntries(Object.entries(readersOfAlgorithms()).map(([name, readers]) => [`algorithm.${name}`, readers])),
  'algorithm.normalization': ['grouping', 'update'],
  'algorithm.deviation': ['grouping', 'update'],
  'algorithm.clip.low': ['update'],
  'algorithm.clip.high': ['update'],
  'algorithm.dualClip': ['update'],
  'algorithm.rewardShaping': ['grouping', 'update'],
  'algorithm.advantageClip': ['grouping', 'update'],
  'algorithm.klEstimator': ['update'],
  // Scoring only asks whether it is 0.
  'algorithm.klCoefficient': ['scoring', 'update'],
  'algorithm.klImportanceWeighted': ['update'],
  'algorithm.skipGroupsWithoutVariance': ['scoring', 'update'],
  'algorithm.entropyCoefficient': ['update'],
  'algorithm.epochs': ['update'],
  'algorithm.minibatches': ['update'],
  'optimizer.learningRate': ['update'],
  'optimizer.betas': ['update'],
  'optimizer.epsilon': ['update'],
  'optimizer.weightDecay': ['update'],
  'optimizer.maxGradientNorm': ['update'],
  'optimizer.schedule.shape': ['update'],
  'optimizer.schedule.warmUpSteps': ['update'],
  'optimizer.schedule.finalRate': ['update'],
  'guard.onViolation': ['update'],
  'guard.maxKl': ['update'],
  'guard.surrogateTolerance': ['update'],
  'evaluation.everyIterations': ['evaluation'],
  'evaluation.samplesPerTask': ['evaluation'],
  'evaluation.heldoutSamplesPerTask': ['evaluation'],
  'evaluation.temperature': ['evaluation'],
  'retention.last': ['after'],
  'retention.every': ['after'],
  'retention.best.metric': ['after'],
  'retention.best.count': ['after'],
  // Refuses a worker, and goes into nothing.
  arithmetic: [],
  // Scores under another one are the same but for rounding, and to lower it is what a lack of memory asks for.
  microBatchTokens: ['update'],
};

/** A setting that is another one. */
export interface ChangedSetting {
  readonly path: string;
  readonly made: unknown;
  readonly given: unknown;
  readonly readers: readonly SettingReader[];
}

/** The settings in which two configurations differ; a block that only one of them has is one of them. */
export function changedSettings(made: unknown, given: unknown, path = ''): ChangedSetting[] {
  if (JSON.stringify(made) === JSON.stringify(given)) return [];
  const below = Object.keys(SETTING_READERS).filter((setting) => setting === path || setting.startsWith(`${path}.`));
  const [a, b] = [made, given];
  if (SETTING_READERS[path] === undefined && isObject(a) && isObject(b)) {
    const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    return names.flatMap((name) => changedSettings(a[name], b[name], path === '' ? name : `${path}.${name}`));
  }
  return below.length === 0
    ? []
    : [{ path, made, given, readers: [...new Set(below.flatMap((setting) => SETTING_READERS[setting]!))] }];
}

/** A point of a run at which a fork begins, and the settings that were in force before it. */
export interface ForkedAt {
  /** With which the iteration began: its rollouts, advantages and scores were made. */
  readonly begun: TrainConfig;
  /** Of each of its turns that was updated before the point; null: the point is before the rollouts. */
  readonly kept: readonly TrainConfig[] | null;
}

/**
 * Why settings cannot change at a fork, one reason a setting; none is an empty list. What is shared was made with the
 * old ones, so only what the steps to come read afresh may be another.
 *
 * @param given  what the steps from the point on would be done with
 */
export function refusedInFork({ begun, kept }: ForkedAt, given: TrainConfig): string[] {
  const isOfOther = (value: unknown, path: string): boolean =>
    value === undefined && path.startsWith('algorithm.') && begun.algorithm.name !== given.algorithm.name;
  const reasons = new Map<string, string>();
  for (const { path, made, given: is, readers } of changedSettings(begun, given)) {
    const change = `${path}: stored ${shown(made)}, given ${shown(is)}`;
    // Of another algorithm its name says enough.
    if (isOfOther(made, path) || isOfOther(is, path)) continue;
    if (readers.includes('start'))
      reasons.set(path, `${change} (all of the run was made with it: start a run of its own)`);
    else if (kept !== null) {
      const stale = readers.filter((reader) => ITERATION[reader] !== undefined && !isReadAfresh(path, begun, given));
      if (isCountedWhenBegun(path, begun)) stale.push('order');
      if (stale.length > 0)
        reasons.set(
          path,
          `${change} (made with it: ${stale.map((reader) => ITERATION[reader]).join(', ')}; fork before the iteration, "turn": null)`,
        );
    }
  }
  const takesAllRatiosAgain =
    isAlgorithm(given.algorithm.name) && algorithmOf(given.algorithm).carried?.isRecomputed === true;
  for (const { path, made, given: is, readers } of (kept ?? []).flatMap((update) => changedSettings(update, given))) {
    if (!readers.includes('product') || takesAllRatiosAgain || isOfOther(is, path) || reasons.has(path)) continue;
    reasons.set(
      path,
      `${path}: stored ${shown(made)}, given ${shown(is)} (made with it: the ratios of turns already updated, Eq. 8; fork before the iteration, "turn": null)`,
    );
  }
  return [...reasons.values()];
}

/** The steps of an iteration before its updates, as a refusal names them. */
const ITERATION: Readonly<Partial<Record<SettingReader, string>>> = {
  rollout: 'the rollouts',
  grouping: 'the advantages',
  scoring: 'the scores',
  order: 'the order and number of updates',
};

/** Scores hold log-probs of the frozen reference wherever the coefficient was not 0, whatever it was. */
const isReadAfresh = (path: string, { algorithm }: TrainConfig, given: TrainConfig): boolean =>
  path === 'algorithm.klCoefficient' && !(algorithm.klCoefficient === 0 && given.algorithm.klCoefficient > 0);

/** The optimiser steps of a turn that is spread over workers are counted when its iteration begins. */
const isCountedWhenBegun = (path: string, { update }: TrainConfig): boolean =>
  update.shards > 1 && ['algorithm.epochs', 'algorithm.minibatches'].includes(path);

/** Whether a setting may change between two iterations of a run under way. */
export const isReadEachIteration = (path: string): boolean =>
  SETTING_READERS[path] !== undefined && !SETTING_READERS[path].includes('start');

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
