import { mean } from '../../activities/numerics/statistics.js';
import type { Reply } from './side.js';
import type { WorkRow } from './works.js';

export type SideName = 'ours' | 'torch';

/** One side's rounds of a work. */
export interface Measured {
  readonly seconds: readonly number[];
  readonly tokens: readonly number[];
  /** Tokens per second; of the works that are timed whole, seconds. */
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  readonly peakBytes: number;
  /** Mean over the rounds of the number that both sides must agree on. */
  readonly check: number | null;
}
export interface RowResult {
  readonly row: WorkRow;
  readonly unit: 'tokens/s' | 's';
  readonly ours: Measured | null;
  readonly torch: Measured | null;
  /** How many times as fast as the other side we are, by medians. */
  readonly ratio: number | null;
  /** |ours - theirs| / |theirs| of `check`: whether both did the same work. */
  readonly disagreement: number | null;
  /** What was worked on, where it is not random tokens. */
  readonly detail: string;
}

/** Relative differences of mean log-probs and gradient norms that rounding explains. */
const ROUNDING = { fp32: 1e-3, bf16: 0.05 } as const;

/** Works that are timed whole are compared by seconds: their sides may draw other tokens. */
export const unitOf = ({ work }: WorkRow): RowResult['unit'] =>
  work.kind === 'turnUpdate' || work.kind === 'rolloutShard' ? 's' : 'tokens/s';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function measured(replies: readonly Reply[], unit: RowResult['unit']): Measured | null {
  if (replies.length === 0) return null;
  const figures = replies.map(({ seconds, tokens }) => (unit === 's' ? seconds : tokens / seconds));
  const checks = replies.flatMap(({ check }) => (check === null ? [] : [check]));
  return {
    seconds: replies.map(({ seconds }) => seconds),
    tokens: replies.map(({ tokens }) => tokens),
    median: median(figures),
    lowest: Math.min(...figures),
    highest: Math.max(...figures),
    peakBytes: Math.max(...replies.map(({ peakBytes }) => peakBytes)),
    check: checks.length === 0 ? null : mean(checks),
  };
}

export function resultOf(
  row: WorkRow,
  replies: Readonly<Record<SideName, readonly Reply[]>>,
  detail: string,
): RowResult {
  const unit = unitOf(row);
  const [ours, torch] = [measured(replies.ours, unit), measured(replies.torch, unit)];
  const ratio = ours && torch && (unit === 's' ? torch.median / ours.median : ours.median / torch.median);
  const disagreement =
    ours?.check != null && torch?.check != null ? Math.abs(ours.check - torch.check) / Math.abs(torch.check) : null;
  return { row, unit, ours, torch, ratio, disagreement, detail };
}

export const sameWork = ({ disagreement, row }: RowResult): boolean =>
  disagreement === null || disagreement <= ROUNDING[row.precision];

/**
 * The table of a bench, and what to know when reading it.
 * @param overDays  a row's ratio over all days that are known, in words
 */
export function markdown(
  results: readonly RowResult[],
  about: readonly string[],
  overDays: (row: string) => string = () => '',
): string {
  const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
  const figure = (side: Measured | null, unit: string): string =>
    side === null ? '' : `${number(side.median)} ${unit} (${number(side.lowest)} to ${number(side.highest)})`;
  const gib = (side: Measured | null): string => (side === null ? '' : (side.peakBytes / 2 ** 30).toFixed(1));
  const lines = results.map((result) => {
    const { row, unit, ours, torch, ratio } = result;
    const met = ratio === null ? '' : ratio >= row.goal ? 'goal' : ratio >= row.accept ? 'accept' : 'below';
    return `| ${[row.title, row.against, figure(ours, unit), figure(torch, unit), ratio === null ? '' : `**${ratio.toFixed(2)}**`, overDays(row.name), row.accept, row.goal, met, gib(ours), gib(torch)].join(' | ')} |`;
  });
  const notes = results.flatMap((result) => [
    ...(result.detail === '' ? [] : [`- ${result.row.title}: ${result.detail}`]),
    ...(sameWork(result)
      ? []
      : [
          `- **${result.row.title}: the sides did not compute the same** (${result.ours!.check} against ${result.torch!.check}); its ratio says nothing`,
        ]),
  ]);
  return [
    '| work | against | ours, median (lowest to highest) | theirs | ratio | ratio over days | accept | goal | met | peak GiB, ours | theirs |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
    ...lines,
    '',
    ...notes,
    ...about.map((line) => `- ${line}`),
    '',
  ].join('\n');
}
