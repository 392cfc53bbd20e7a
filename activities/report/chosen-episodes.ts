import type { EvaluationManifest } from '../../schemas/evaluation.js';
import type { ReportEpisode, StageName } from '../../schemas/report.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import { readableEpisode } from './episode.js';
import { findEvaluation, type ReportSources } from './report-sources.js';

/**
 * Three trajectories: of the training task that improved most, the worst before and the best after;
 * and the worst of all after. Ties go to the task and sample that come first.
 */
export function chosenEpisodes(
  { evaluations, decode }: ReportSources,
  first: 'start' | 'untouched' | null,
): ReportEpisode[] {
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
    show(failure, {
      stage: 'end',
      heading: 'After SeeUPO, a failure',
      chosenAs: 'the lowest reward after, of all training tasks',
    });
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
