import type { CheckpointManifest, WarmStartManifest } from '../../schemas/checkpoint.js';
import type { EvaluationManifest } from '../../schemas/evaluation.js';
import type { IterationTiming, Timing } from '../../schemas/metrics.js';
import type {
  Gain,
  IterationRow,
  ReportContent,
  ReportEpisode,
  Stage,
  StageName,
  TaskRow,
  TimeShare,
  TurnUpdateRow,
} from '../../schemas/report.js';
import type { RunManifest } from '../../schemas/run.js';
import type { Split } from '../../schemas/task.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import { readableEpisode } from './episode.js';
import { fixed, signed } from './format.js';

/** An evaluation with its trajectories where they were read; the error estimate and the episodes need them. */
export interface EvaluationSource {
  readonly manifest: EvaluationManifest;
  readonly trajectories: readonly Trajectory[] | null;
}

/** Every manifest of a run that the report is drawn from. */
export interface ReportSources {
  readonly run: RunManifest;
  readonly warmStart: WarmStartManifest | null;
  readonly evaluations: readonly EvaluationSource[];
  /** k = 0..n-1. */
  readonly checkpoints: readonly CheckpointManifest[];
  /** How long each of them took. */
  readonly timings: {
    readonly warmStart: Timing | null;
    readonly evaluations: readonly Timing[];
    readonly checkpoints: readonly IterationTiming[];
  };
  /** Token ids to text; null shows trajectories without their prompts. */
  readonly decode: ((ids: readonly number[]) => string) | null;
}

/** Iterations at the end that the learning figure is the mean of. */
export const LAST_ITERATIONS = 3;

const STAGES: readonly StageName[] = ['untouched', 'start', 'end'];
const SPLITS: readonly Split[] = ['train', 'heldout'];

const sum = (numbers: readonly number[]): number => numbers.reduce((total, x) => total + x, 0);
const mean = (numbers: readonly number[]): number => sum(numbers) / numbers.length;

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
 * SE = sqrt( sum_b s_b^2 / n_b ) / B, with s_b^2 the sample variance (n_b - 1) of task b's rewards.
 *
 * @returns null if a task has fewer than 2 samples, or there is no task
 */
export function standardErrorOfMeanReward(trajectories: readonly Pick<Trajectory, 'taskId' | 'reward'>[]): number | null {
  const rewards = new Map<string, number[]>();
  for (const { taskId, reward } of trajectories) rewards.set(taskId, [...(rewards.get(taskId) ?? []), reward]);
  if (rewards.size === 0) return null;
  let total = 0;
  for (const rewards_G of rewards.values()) {
    const n = rewards_G.length;
    if (n < 2) return null;
    const center = mean(rewards_G);
    const variance = sum(rewards_G.map((r) => (r - center) ** 2)) / (n - 1);
    total += variance / n;
  }
  return Math.sqrt(total) / rewards.size;
}

/** Change from one stage to another on one split; turns that only one of them has count as 0 in the other. */
export function gain(from: Stage, to: Stage): Gain {
  const standardError =
    from.standardError === null || to.standardError === null
      ? null
      : Math.hypot(from.standardError, to.standardError);
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
      if (stage === 'untouched' && warmStart === null && findEvaluation(evaluations, 'start', split) !== null) return [];
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

function findEvaluation(
  evaluations: readonly EvaluationSource[],
  name: string,
  split: Split,
): EvaluationSource | null {
  // An environment without held-out tasks has an evaluation of nothing, which is none.
  return evaluations.find(({ manifest: m }) => m.name === name && m.split === split && m.tasks.length > 0) ?? null;
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
      // Without an error estimate the figures are told and no claim is made.
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

function iterationRow({ iteration, rollout, groupsWithoutVariance, behaviorGap }: CheckpointManifest, timing: IterationTiming): IterationRow {
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

const PARTS: readonly { part: string; step: string }[] = [
  { part: 'rollout', step: 'rollout' },
  { part: 'grouping', step: 'group' },
  { part: 'scoring', step: 'score' },
  { part: 'turn updates', step: 'update' },
];

/**
 * Where the steps' seconds went. Storage is taken out of every step and shown on its own, so the parts
 * add up. Steps that ran at the same time both count: it is work, not wall time.
 */
export function timeShares({ timings: { warmStart, evaluations, checkpoints } }: Pick<ReportSources, 'timings'>): TimeShare[] {
  const known = new Set(PARTS.map(({ step }) => step));
  const ofStep = (wanted: (step: string) => boolean): Timing[] =>
    checkpoints.flatMap((timing) => Object.entries(timing).flatMap(([step, t]) => (wanted(step) ? [t] : [])));
  const parts: [string, Timing[]][] = [
    ['warm start', warmStart === null ? [] : [warmStart]],
    ...PARTS.map(({ part, step }): [string, Timing[]] => [part, ofStep((s) => s === step)]),
    ['other steps', ofStep((s) => !known.has(s))],
    ['evaluation', [...evaluations]],
  ];
  const rows = parts.map(([part, timings]) => ({
    part,
    seconds: sum(timings.map(({ seconds, storageSeconds }) => Math.max(0, seconds - storageSeconds))),
    tokens: sum(timings.map(({ tokens }) => tokens)),
  }));
  const stored = parts.flatMap(([, timings]) => timings.map(({ storageSeconds }) => storageSeconds));
  rows.push({ part: 'storage', seconds: sum(stored), tokens: 0 });
  const total = sum(rows.map(({ seconds }) => seconds));
  return rows
    .filter(({ part, seconds }) => seconds > 0 || part === 'storage')
    .map((row) => ({ ...row, share: total === 0 ? 0 : row.seconds / total }));
}

/**
 * Three trajectories: of the training task that improved most, the worst before and the best after;
 * and the worst of all after. Ties go to the task and sample that come first.
 */
function chosenEpisodes({ evaluations, decode }: ReportSources, first: 'start' | 'untouched' | null): ReportEpisode[] {
  const before = first === null ? null : findEvaluation(evaluations, first, 'train');
  const after = findEvaluation(evaluations, 'end', 'train');
  const chosen: ReportEpisode[] = [];
  const show = (
    trajectory: Trajectory | undefined,
    shown: { stage: StageName; heading: string; chosenAs: string },
  ): void => {
    if (trajectory !== undefined) chosen.push({ ...readableEpisode(trajectory, 'train', decode), ...shown });
  };
  const taskId = before && after ? mostImprovedTask(before.manifest, after.manifest) : null;
  if (first !== null && taskId !== null) {
    show(extreme(before?.trajectories, taskId, 'worst'), {
      stage: first,
      heading: 'Before SeeUPO',
      chosenAs: 'the lowest reward before, of the training task that improved most',
    });
    show(extreme(after?.trajectories, taskId, 'best'), {
      stage: 'end',
      heading: 'After SeeUPO, the same task',
      chosenAs: 'the highest reward after, of the training task that improved most',
    });
  }
  const failure = extreme(after?.trajectories, null, 'worst');
  if (failure !== undefined && !failure.success) {
    show(failure, { stage: 'end', heading: 'After SeeUPO, a failure', chosenAs: 'the lowest reward after, of all training tasks' });
  }
  return chosen;
}

function mostImprovedTask(before: EvaluationManifest, after: EvaluationManifest): string | null {
  let best: { taskId: string; rise: number } | null = null;
  for (const { taskId, meanReward } of after.tasks) {
    const earlier = before.tasks.find((task) => task.taskId === taskId);
    if (earlier === undefined) continue;
    const rise = meanReward - earlier.meanReward;
    if (best === null || rise > best.rise) best = { taskId, rise };
  }
  return best?.taskId ?? null;
}

function extreme(
  trajectories: readonly Trajectory[] | null | undefined,
  taskId: string | null,
  which: 'best' | 'worst',
): Trajectory | undefined {
  const sign = which === 'best' ? 1 : -1;
  let found: Trajectory | undefined;
  for (const trajectory of trajectories ?? []) {
    if (taskId !== null && trajectory.taskId !== taskId) continue;
    if (found === undefined || sign * trajectory.reward > sign * found.reward) found = trajectory;
  }
  return found;
}
