import type { TrainMetrics, TrainProgress } from './messages.js';
import { formatChange } from './settings.js';

/** The run's details for the Web UI, in Markdown, which is what it renders. */
export function trainDetails(progress: TrainProgress, { iterations, evaluations, checkpoint }: TrainMetrics): string {
  const { title, paused, phase, iteration, secondsLeft, stopping, changes, inertSettings } = progress;
  const left = secondsLeft === null ? '' : `, about ${minutes(secondsLeft)} left`;
  return [
    `### ${title || progress.runId}`,
    paused === null
      ? `**${phase}**`
      : `**Paused** (${phase}): ${paused}\n\nSend the signal \`resume\` to go on, or \`abort\`.`,
    progress.iterations === null
      ? ''
      : `${iteration} of ${progress.iterations} iterations done${left}${stopping ? ', stopping after this one' : ''}`,
    checkpoint === null ? '' : `Last checkpoint: \`${checkpoint.key}\``,
    changes.map(({ fromIteration, change }) => `- from iteration ${fromIteration}: ${formatChange(change)}`).join('\n'),
    inertSettings.length === 0
      ? ''
      : `Settings without effect:\n\n${inertSettings.map((setting) => `- ${setting}`).join('\n')}`,
    table(
      ['evaluation', 'split', 'reward', 'success', 'turns passed'],
      evaluations.map((e) => [
        e.name,
        e.split,
        fixed(e.meanReward),
        percent(e.successRate),
        e.turnPassRate.map(percent).join(' '),
      ]),
    ),
    table(
      ['iteration', 'reward', 'success', 'KL', 'groups without variance', 'turn updates against the guard', 'seconds'],
      iterations
        .slice(-10)
        .map((i) => [
          String(i.iteration + 1),
          fixed(i.meanReward),
          percent(i.successRate),
          i.klReference.toPrecision(3),
          String(i.groupsWithoutVariance),
          i.violations ? `${i.violations}${i.rejections ? `, ${i.rejections} rejected` : ''}` : '0',
          i.wallSeconds.toFixed(0),
        ]),
    ),
  ]
    .filter(Boolean)
    .join('\n\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const fixed = (value: number): string => value.toFixed(3);
const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const minutes = (seconds: number): string =>
  seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
