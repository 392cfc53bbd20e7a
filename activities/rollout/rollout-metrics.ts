import type { RolloutMetrics } from '../../schemas/metrics.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import { mean, sum } from '../numerics/statistics.js';

/** What a set of trajectories amounts to; of none, everything is 0. */
export function rolloutMetrics(trajectories: readonly Trajectory[]): RolloutMetrics {
  const responses = trajectories.flatMap(({ turns }) => turns);
  const sampledTokens = sum(responses.map(({ responseIds }) => responseIds.length));
  const longest = Math.max(0, ...trajectories.map(({ taskTurns }) => taskTurns));
  return {
    trajectories: trajectories.length,
    meanReward: mean(trajectories.map(({ reward }) => reward)),
    successRate: mean(trajectories.map(({ success }) => Number(success))),
    turnPassRate: Array.from({ length: longest }, (_, t) =>
      mean(trajectories.map(({ turnsPassed }) => Number(turnsPassed[t] ?? false))),
    ),
    meanResponseTokens: ratio(sampledTokens, responses.length),
    sampledTokens,
    truncatedRate: mean(responses.map(({ responseEnd }) => Number(responseEnd === 'token-limit'))),
    malformedCallRate: ratio(
      sum(responses.map(({ action }) => action.calls.filter((call) => 'malformed' in call).length)),
      responses.length,
    ),
  };
}

/**
 * Distinct tokens that had to go through the model: a task's first prompt once for all its samples, then of each turn
 * what lies beyond the beginning that it shares with the turn before it.
 */
export function distinctTokens(trajectories: readonly Trajectory[]): number {
  const firstPrompts = new Map(trajectories.map(({ taskId, turns }) => [taskId, turns[0]!.promptIds.length]));
  const later = trajectories.flatMap(({ turns }) =>
    turns.map(({ promptIds, responseIds }, t) => {
      const before = t === 0 ? promptIds : [...turns[t - 1]!.promptIds, ...turns[t - 1]!.responseIds];
      const first = promptIds.findIndex((id, i) => id !== before[i]);
      return promptIds.length - (first < 0 ? promptIds.length : first) + responseIds.length;
    }),
  );
  return sum([...firstPrompts.values()]) + sum(later);
}

const ratio = (total: number, count: number): number => (count === 0 ? 0 : total / count);
