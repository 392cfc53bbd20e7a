import type { EpisodeOutcome } from '../../schemas/evaluation-plan.js';
import type { Estimate, Figures, PairedDifference, TaskOutcome } from '../../schemas/evaluation-report.js';
import type { Task } from '../../schemas/task.js';
import { groupBy } from '../numerics/group-by.js';
import { mean } from '../numerics/statistics.js';
import { intervalOfMean, pairedDifference, type IntervalOptions } from './intervals.js';
import { passAtK } from './pass-at-k.js';

/** One task and what its n episodes came to. */
export interface PlayedTask {
  readonly task: Task;
  readonly outcomes: readonly EpisodeOutcome[];
}

/** Outcomes by task, in the order of the tasks; a task without an episode is left out. */
export function playedTasks(tasks: readonly Task[], outcomes: readonly EpisodeOutcome[]): PlayedTask[] {
  const byTask = groupBy(outcomes, ({ taskId }) => taskId);
  return tasks.flatMap((task) => {
    const own = byTask.get(task.id);
    return own ? [{ task, outcomes: own }] : [];
  });
}

const successes = ({ outcomes }: PlayedTask): number => outcomes.filter(({ success }) => success).length;
const averageReward = ({ outcomes }: PlayedTask): number => mean(outcomes.map(({ reward }) => reward));
const successRate = (played: PlayedTask): number => successes(played) / played.outcomes.length;

/** Every figure of one policy on some tasks, each a mean over tasks with the interval for other tasks of the kind. */
export function figuresOf(played: readonly PlayedTask[], options: IntervalOptions): Figures {
  const estimate = (valueOf: (one: PlayedTask) => number): Estimate => estimated(played.map(valueOf), options);
  const n = Math.min(...played.map(({ outcomes }) => outcomes.length));
  return {
    tasks: played.length,
    episodes: played.reduce((count, { outcomes }) => count + outcomes.length, 0),
    averageReward: estimate(averageReward),
    taskGoalCompletion: estimate(successRate),
    passAtK: ksUpTo(n).map((k) => ({ k, ...estimate((one) => passAtK(one.outcomes.length, successes(one), k)) })),
    scenarioGoalCompletion: scenarioGoalCompletion(played, options),
  };
}

const estimated = (values: readonly number[], options: IntervalOptions): Estimate => ({
  value: mean(values),
  interval: intervalOfMean(values, options),
});

/** 1, 2, 4, ... and n. */
export function ksUpTo(n: number): number[] {
  const ks: number[] = [];
  for (let k = 1; k < n; k *= 2) ks.push(k);
  return n >= 1 ? [...ks, n] : ks;
}

/** `82e2fac_1`: the first of the tasks of scenario 82e2fac; an environment's options may follow behind a `?`. */
const SCENARIO = /^([0-9a-f]{7})_\d+(?:\?|$)/;

/**
 * Share of scenarios all of whose tasks were solved by the same sample index, mean over samples: an unbiased estimate of
 * what one episode per task gives. Null unless every task belongs to a scenario.
 */
function scenarioGoalCompletion(
  played: readonly PlayedTask[],
  options: IntervalOptions,
): Figures['scenarioGoalCompletion'] {
  if (played.length === 0 || !played.every(({ task }) => SCENARIO.test(task.id))) return null;
  const scenarios = [...groupBy(played, ({ task }) => SCENARIO.exec(task.id)![1]!).values()];
  const shares = scenarios.map((members) => {
    const samples = Math.min(...members.map(({ outcomes }) => outcomes.length));
    const solved = Array.from({ length: samples }, (_, g) =>
      Number(members.every(({ outcomes }) => outcomes.find(({ sample }) => sample === g)?.success)),
    );
    return mean(solved);
  });
  return { scenarios: scenarios.length, ...estimated(shares, options) };
}

/** What a task belongs to: what its environment says, else all of one kind. */
export const categoryOf = (task: Task): string => task.category ?? 'all';

/** Figures of the first policy minus those of the second, on the tasks that both have played. */
export function comparisonOf(
  policy: readonly PlayedTask[],
  against: readonly PlayedTask[],
  options: IntervalOptions,
): { averageReward: PairedDifference; taskGoalCompletion: PairedDifference; tasks: number } {
  const other = new Map(against.map((one) => [one.task.id, one]));
  const pairs = policy.flatMap((one): [PlayedTask, PlayedTask][] =>
    other.has(one.task.id) ? [[one, other.get(one.task.id)!]] : [],
  );
  const difference = (valueOf: (one: PlayedTask) => number): PairedDifference =>
    pairedDifference(
      pairs.map(([a, b]) => valueOf(a) - valueOf(b)),
      options,
    );
  return { averageReward: difference(averageReward), taskGoalCompletion: difference(successRate), tasks: pairs.length };
}

/** Task by task, one score per policy. */
export const taskOutcomes = (tasks: readonly Task[], byPolicy: readonly (readonly PlayedTask[])[]): TaskOutcome[] =>
  tasks.map((task) => ({
    taskId: task.id,
    split: task.split,
    turns: task.turns,
    category: categoryOf(task),
    scores: byPolicy.map((played) => {
      const one = played.find((candidate) => candidate.task.id === task.id);
      return {
        averageReward: one ? averageReward(one) : 0,
        successes: one ? successes(one) : 0,
        samples: one?.outcomes.length ?? 0,
      };
    }),
  }));
