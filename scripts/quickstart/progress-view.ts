import { scoreBar } from '../../activities/report/terminal-summary.js';
import { fixed } from '../../activities/report/format.js';
import type { EvaluationPoint, IterationPoint } from '../../workflows/messages.js';
import type { PendingStep, Snapshot } from './snapshot.js';

const SPARKS = '▁▂▃▄▅▆▇█';

/** `48 s`, `3 min 12 s`, `1 h 05 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} min`;
}

/** Rewards in [0, 1] as one character each. */
export const sparkline = (shares: readonly number[]): string =>
  shares.map((x) => SPARKS[Math.min(SPARKS.length - 1, Math.max(0, Math.floor(x * SPARKS.length)))]).join('');

const percent = (share: number): string => `${Math.round(100 * share)} %`;

/** What is under way, e.g. `iteration 3/8, update turn 2 of 2`. */
export function phaseText({ progress, iteration }: Snapshot): string {
  if (progress === null) return 'waiting for a control worker';
  if (progress.phase !== 'iteration') return progress.phase;
  const k = `iteration ${progress.iteration + 1}/${progress.iterations ?? '?'}`;
  if (iteration === null) return k;
  if (iteration.phase === 'update turn')
    return `${k}, update turn ${iteration.turn ?? '?'} of ${iteration.turns ?? '?'}`;
  return `${k}, ${iteration.phase}`;
}

const tokensPerSecond = ({ tokens, seconds }: IterationPoint): string =>
  seconds > 0 ? `${Math.round(tokens / seconds)} tokens/s` : '– tokens/s';

function stepText({ activity, attempt, work, lastFailure }: PendingStep): string {
  const at =
    work === null || work.of === 0 ? (work?.phase ?? 'waiting for a worker') : `${work.phase} ${work.done}/${work.of}`;
  const again =
    attempt > 1 ? `, attempt ${attempt}${lastFailure === null ? '' : ` after: ${lastFailure.slice(0, 90)}`}` : '';
  return `${activity}: ${at}${again}`;
}

/** The block that a terminal shows and updates. */
export function liveBlock(snapshot: Snapshot, { url, now }: { url: string; now: number }): string {
  const { progress, metrics, steps } = snapshot;
  const lines = ['', phaseText(snapshot)];
  lines.push(...steps.map((step) => `  ${stepText(step)}`));
  if (progress !== null) {
    const { iteration, iterations, startedAt, secondsLeft, latest } = progress;
    if (iterations !== null && iterations > 0)
      lines.push(`${scoreBar(iteration / iterations)} ${iteration} of ${iterations} iterations`);
    if (latest !== null) {
      lines.push(
        `reward ${fixed(latest.meanReward)}  success ${percent(latest.successRate)}  ${tokensPerSecond(latest)}  ${sparkline((metrics?.iterations ?? []).map(({ meanReward }) => meanReward))}`,
      );
    }
    const left =
      secondsLeft === null
        ? 'time left: known after the first iteration'
        : `about ${duration(secondsLeft)} of training left`;
    lines.push(`elapsed ${duration((now - startedAt) / 1000)}, ${left}`);
  }
  lines.push(url);
  return lines.join('\n');
}

/** What happened between two looks, one line each: the log of a run without a terminal. */
export function eventLines(before: Snapshot | null, after: Snapshot, now: number): string[] {
  const lines: string[] = [];
  const noted = before?.progress?.inertSettings ?? [];
  for (const setting of after.progress?.inertSettings ?? [])
    if (!noted.includes(setting)) lines.push(`setting without effect: ${setting}`);

  const known = new Set((before?.metrics?.evaluations ?? []).map(nameOf));
  for (const evaluation of after.metrics?.evaluations ?? [])
    if (!known.has(nameOf(evaluation))) lines.push(evaluationLine(evaluation));

  const last = before?.metrics?.iterations.at(-1)?.iteration ?? -1;
  for (const point of after.metrics?.iterations ?? [])
    if (point.iteration > last) lines.push(iterationLine(point, after, now));

  const phase = phaseText(after);
  if (after.progress !== null && after.progress.phase !== 'done' && (before === null || phase !== phaseText(before)))
    lines.push(phase);
  if (after.progress === null && before !== null && before.progress !== null) lines.push(phase);

  const failing = (snapshot: Snapshot | null) =>
    new Set((snapshot?.steps ?? []).flatMap((s) => (s.lastFailure === null ? [] : [failureOf(s)])));
  const seen = failing(before);
  for (const failure of failing(after)) if (!seen.has(failure)) lines.push(failure);
  return lines;
}

const nameOf = ({ name, split }: EvaluationPoint): string => `${name} ${split}`;
const failureOf = ({ activity, attempt, lastFailure }: PendingStep): string =>
  `${activity} is tried again (attempt ${attempt}): ${lastFailure}`;

function evaluationLine({ name, split, meanReward, successRate, turnPassRate }: EvaluationPoint): string {
  const tasks = split === 'train' ? 'training tasks' : 'held-out tasks';
  return `evaluation ${name}, ${tasks}: reward ${fixed(meanReward)}, success ${percent(successRate)}, turns passed ${turnPassRate.map(percent).join(' ')}`;
}

/** Updates that undid themselves; the report says which and how. */
const guardText = ({ violations, rejections }: IterationPoint): string =>
  violations > 0
    ? `; the guard found ${violations} turn update(s) that undid themselves${rejections > 0 ? `, ${rejections} of them rejected` : ''}`
    : '';

function iterationLine(point: IterationPoint, { progress }: Snapshot, now: number): string {
  const of = progress?.iterations ?? '?';
  const elapsed = progress === null ? '' : `, elapsed ${duration((now - progress.startedAt) / 1000)}`;
  const isLatest = progress?.latest?.iteration === point.iteration;
  const left =
    isLatest && progress.secondsLeft !== null && progress.secondsLeft > 0
      ? `, about ${duration(progress.secondsLeft)} of training left`
      : '';
  return (
    `iteration ${point.iteration + 1}/${of} done: reward ${fixed(point.meanReward)}, success ${percent(point.successRate)}, ` +
    `turns passed ${point.turnPassRate.map(percent).join(' ')}, KL ${fixed(point.klReference)}, ` +
    `${duration(point.wallSeconds)}, ${tokensPerSecond(point)}${elapsed}${left}${guardText(point)}`
  );
}
