import type { RolloutMetrics } from '../../schemas/metrics.js';
import type { Trajectory } from '../../schemas/trajectory.js';

/** What a set of trajectories amounts to; of none, everything is 0. */
export function rolloutMetrics(trajectories: readonly Trajectory[]): RolloutMetrics {
  const responses = trajectories.flatMap(({ turns }) => turns);
  const sampledTokens = sum(responses.map(({ responseIds }) => responseIds.length));
  const longest = Math.max(0, ...trajectories.map(({ taskTurns }) => taskTurns));
  return {
    trajectories: trajectories.length,
    meanReward: mean(trajectories.map(({ reward }) => reward)),
    successRate: mean(trajectories.map(({ success }) => Number(success))),
    turnPassRate: Array.from({ length: longest }, (_, t) => mean(trajectories.map(({ turnsPassed }) => Number(turnsPassed[t] ?? false)))),
    meanResponseTokens: ratio(sampledTokens, responses.length),
    sampledTokens,
    truncatedRate: mean(responses.map(({ responseEnd }) => Number(responseEnd === 'token-limit'))),
    malformedCallRate: ratio(sum(responses.map(({ action }) => action.calls.filter((call) => 'malformed' in call).length)), responses.length),
  };
}

/**
 * Distinct tokens that had to go through the model: a task's first prompt once for all its samples,
 * then what each episode appended. Prompts grow by appending only (prompt.ts).
 */
export function distinctTokens(trajectories: readonly Trajectory[]): number {
  const firstPrompts = new Map(trajectories.map(({ taskId, turns }) => [taskId, turns[0]!.promptIds.length]));
  const appended = trajectories.map(({ turns }) => {
    const last = turns.at(-1)!;
    return last.promptIds.length + last.responseIds.length - turns[0]!.promptIds.length;
  });
  return sum([...firstPrompts.values()]) + sum(appended);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const ratio = (total: number, count: number): number => (count === 0 ? 0 : total / count);
const mean = (values: readonly number[]): number => ratio(sum(values), values.length);
