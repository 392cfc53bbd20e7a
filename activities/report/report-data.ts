import type { CheckpointManifest } from '../../schemas/checkpoint.js';
import type { IterationTiming } from '../../schemas/metrics.js';
import type {
  Gain,
  IterationRow,
  ReportContent,
  Stage,
  StageName,
  TaskRow,
  TurnUpdateRow,
} from '../../schemas/report.js';
import type { Split } from '../../schemas/task.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import { mean, sum } from '../numerics/statistics.js';
import { chosenEpisodes } from './chosen-episodes.js';
import { fixed, signed } from './format.js';
import { findEvaluation, type ReportSources } from './report-sources.js';
import { timeShares } from './time-shares.js';

/** Iterations at the end that the learning figure is the mean of. */
export const LAST_ITERATIONS = 3;

const STAGES: readonly StageName[] = ['untouched', 'start', 'end'];
const SPLITS: readonly Split[] = ['train', 'heldout'];

/** The manifests of a run as the plain figures, rows and texts of its report. */
export function reportContent(sources: ReportSources): ReportContent {
  const { run, warmStart, checkpoints } = sources;
  const stages = stageRows(sources);
  const warmStartGains = warmStart === null ? [] : gainsBetween(stages, 'untouched', 'start');
  const first = firstOfReinforcement(stages);
  const seeupoGains = first === null ? [] : gainsBetween(stages, first, 'end');
  const iterations = checkpoints.map((checkpoint, k) => iterationRow(checkpoint, sources.timings.checkpoints[k] ?? {}));
  const learning = learningFigure(iterations, stages, first);
  const time = timeShares(sources);
  return {
    format: 1,
    runId: run.runId,
    title: run.config.title,
    verdict: verdictLine({ completedIterations: checkpoints.length, stages, seeupoGains }),
    codeVersion: run.code.version,
    model: run.model,
    config: run.config,
    inertSettings: run.inertSettings,
    completedIterations: checkpoints.length,
    stages,
    warmStartGains,
    seeupoGains,
    learning,
    warmStart:
      warmStart === null
        ? null
        : {
            sequences: warmStart.sequences,
            tokens: warmStart.tokens,
            steps: warmStart.steps,
            epochLosses: warmStart.epochLosses,
            seconds: sources.timings.warmStart?.seconds ?? 0,
          },
    tasks: taskRows(sources),
    iterations,
    turnUpdates: checkpoints.flatMap(turnUpdateRows),
    midway: sources.evaluations
      .map(({ manifest }) => manifest)
      .filter(({ name }) => !STAGES.some((stage) => stage === name))
      .map(({ name, split, metrics }) => ({
        name,
        split,
        meanReward: metrics.meanReward,
        successRate: metrics.successRate,
      }))
      .sort((a, b) => (a.name + a.split < b.name + b.split ? -1 : 1)),
    episodes: chosenEpisodes(sources, first),
    time,
    workSeconds: sum(time.map(({ seconds }) => seconds)),
    finalAdapterSha256: checkpoints.at(-1)?.policy.adapter?.sha256 ?? null,
  };
}

/**
 * Standard error of an evaluation's mean reward over these very tasks: how far another draw of
 * answers would move it. The tasks are fixed, so only the spread within a task counts.
 *
 * SE = sqrt( sum_b s_b^2 / n_b ) / B, with s_b^2 the sample variance (n_b - 1) of task b's rewards. Rewards of a task that are all equal
 * are not certain: of them s_b^2 / n_b is q (1 - q) / (n_b + 1), q = (sum of rewards + 1/2) / (n_b + 1), as with Jeffreys' prior.
 *
 * @returns null if a task has fewer than 2 samples, or there is no task
 */
export function standardErrorOfMeanReward(
  trajectories: readonly Pick<Trajectory, 'taskId' | 'reward'>[],
): number | null {
  const rewards = new Map<string, number[]>();
  for (const { taskId, reward } of trajectories) rewards.set(taskId, [...(rewards.get(taskId) ?? []), reward]);
  if (rewards.size === 0) return null;
  let total = 0;
  for (const rewards_G of rewards.values()) {
    const n = rewards_G.length;
    if (n < 2) return null;
    const center = mean(rewards_G);
    const variance = sum(rewards_G.map((r) => (r - center) ** 2)) / (n - 1);
    const q = (sum(rewards_G) + 0.5) / (n + 1);
    total += rewards_G.every((r) => r === rewards_G[0]) ? (q * (1 - q)) / (n + 1) : variance / n;
  }
  return Math.sqrt(total) / rewards.size;
}

/** Change from one stage to another on one split; turns that only one of them has count as 0 in the other. */
export function gain(from: Stage, to: Stage): Gain {
  const standardError =
    from.standardError === null || to.standardError === null ? null : Math.hypot(from.standardError, to.standardError);
  const meanReward = to.meanReward - from.meanReward;
  const turns = Math.max(from.turnPassRate.length, to.turnPassRate.length);
  return {
    split: to.split,
    meanReward,
    standardError,
    beyondNoise: standardError === null ? null : Math.abs(meanReward) > 2 * standardError,
    successRate: to.successRate - from.successRate,
    turnPassRate: Array.from({ length: turns }, (_, t) => (to.turnPassRate[t] ?? 0) - (from.turnPassRate[t] ?? 0)),
  };
}

/** The policy that reinforcement learning began with, by the evaluations at hand. */
function firstOfReinforcement(stages: readonly Stage[]): 'start' | 'untouched' | null {
  if (stages.some(({ stage }) => stage === 'start')) return 'start';
  return stages.some(({ stage }) => stage === 'untouched') ? 'untouched' : null;
}

function stageRows({ evaluations, warmStart, checkpoints }: ReportSources): Stage[] {
  const labels: Record<StageName, string> = {
    untouched: 'untouched model',
    start: warmStart === null ? 'untouched model' : 'after the warm start',
    end: checkpoints.length === 0 ? 'at the end (no iteration of SeeUPO)' : 'after SeeUPO',
  };
  return SPLITS.flatMap((split) =>
    STAGES.flatMap((stage): Stage[] => {
      const source = findEvaluation(evaluations, stage, split);
      if (source === null) return [];
      // Without a warm start `untouched` and `start` are one policy: one row is enough.
      if (stage === 'untouched' && warmStart === null && findEvaluation(evaluations, 'start', split) !== null)
        return [];
      const { manifest, trajectories } = source;
      return [
        {
          stage,
          label: labels[stage],
          split,
          tasks: manifest.tasks.length,
          trajectories: manifest.metrics.trajectories,
          temperature: manifest.temperature,
          meanReward: manifest.metrics.meanReward,
          standardError: trajectories === null ? null : standardErrorOfMeanReward(trajectories),
          successRate: manifest.metrics.successRate,
          turnPassRate: manifest.metrics.turnPassRate,
        },
      ];
    }),
  );
}

function gainsBetween(stages: readonly Stage[], from: StageName, to: StageName): Gain[] {
  return SPLITS.flatMap((split) => {
    const before = stages.find((s) => s.stage === from && s.split === split);
    const after = stages.find((s) => s.stage === to && s.split === split);
    return before && after ? [gain(before, after)] : [];
  });
}

function learningFigure(
  iterations: readonly IterationRow[],
  stages: readonly Stage[],
  first: StageName | null,
): ReportContent['learning'] {
  const start = stages.find(({ stage, split }) => stage === first && split === 'train');
  const last = iterations.slice(-LAST_ITERATIONS);
  if (start === undefined || last.length === 0) return null;
  const meanOfLast = mean(last.map(({ meanReward }) => meanReward));
  return {
    lastIterations: last.length,
    meanOfLast,
    startReward: start.meanReward,
    rise: meanOfLast - start.meanReward,
  };
}

/** One sentence per split: what SeeUPO did, and whether it is more than the luck of the draw. */
export function verdictLine({
  completedIterations,
  stages,
  seeupoGains,
}: Pick<ReportContent, 'completedIterations' | 'stages' | 'seeupoGains'>): string {
  if (completedIterations === 0) return 'No iteration of SeeUPO was run, so there is nothing to compare.';
  if (seeupoGains.length === 0) return 'There is no evaluation both before and after SeeUPO, so no gain is claimed.';
  return seeupoGains
    .map((g) => {
      const end = stages.find(({ stage, split }) => stage === 'end' && split === g.split);
      const after = end?.meanReward ?? 0;
      const figures = `from ${fixed(after - g.meanReward)} to ${fixed(after)}`;
      const error = g.standardError === null ? '' : ` ± ${fixed(g.standardError)}`;
      const change = `(${signed(g.meanReward)}${error})`;
      const where = g.split === 'train' ? 'the training tasks' : 'the held-out tasks';
      const iterations = `${completedIterations} iteration${completedIterations === 1 ? '' : 's'}`;
      const within = g.split === 'train' ? ` in ${iterations}` : '';
      if (g.meanReward === 0) return `on ${where} the mean reward stayed at ${fixed(after)}${within}`;
      if (g.beyondNoise === false) {
        return `on ${where} the mean reward went ${figures} ${change}${within}, which is within sampling noise`;
      }
      // Without an error estimate the figures are given and no claim is made.
      const verb = g.beyondNoise === null ? 'went' : g.meanReward > 0 ? 'rose' : 'fell';
      const doubt = g.beyondNoise === null ? ' (too few samples to say how much of it is noise)' : '';
      return `on ${where} the mean reward ${verb} ${figures} ${change}${within}${doubt}`;
    })
    .map((sentence) => `${sentence[0]?.toUpperCase() ?? ''}${sentence.slice(1)}.`)
    .join(' ');
}

function taskRows({ run, evaluations }: ReportSources): TaskRow[] {
  const score = (stage: StageName, split: Split, taskId: string): TaskRow['end'] => {
    const row = findEvaluation(evaluations, stage, split)?.manifest.tasks.find((task) => task.taskId === taskId);
    return row === undefined ? null : { meanReward: row.meanReward, successRate: row.successRate };
  };
  return [...run.trainTasks, ...run.heldoutTasks].map(({ id, split, turns }) => ({
    taskId: id,
    split,
    turns,
    untouched: score('untouched', split, id),
    start: score('start', split, id),
    end: score('end', split, id),
  }));
}

function iterationRow(
  { iteration, rollout, groupsWithoutVariance, behaviorGap }: CheckpointManifest,
  timing: IterationTiming,
): IterationRow {
  const steps = Object.values(timing);
  return {
    iteration: iteration + 1,
    meanReward: rollout.meanReward,
    successRate: rollout.successRate,
    turnPassRate: rollout.turnPassRate,
    meanResponseTokens: rollout.meanResponseTokens,
    truncatedRate: rollout.truncatedRate,
    malformedCallRate: rollout.malformedCallRate,
    trajectories: rollout.trajectories,
    groupsWithoutVariance,
    behaviorGapMax: behaviorGap.max,
    seconds: sum(steps.map(({ seconds }) => seconds)),
    tokens: sum(steps.map(({ tokens }) => tokens)),
  };
}

function turnUpdateRows({ iteration, turns }: CheckpointManifest): TurnUpdateRow[] {
  return turns.map((metrics) => ({ iteration: iteration + 1, ...metrics }));
}
