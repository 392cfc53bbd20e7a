import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import type { RowResult } from './results.js';

/**
 * What a row came to on one day on one machine: the other side's figures move between days, too, by a third and more.
 */
const DayFigure = z.strictObject({
  /** E.g. 2026-11-28, UTC. */
  day: z.iso.date(),
  /** Processor, memory and threads: days of other machines say nothing of this one. */
  machine: z.string(),
  row: z.string(),
  /** Medians of the day's last bench, in the row's unit. */
  ours: z.number(),
  torch: z.number(),
  ratio: z.number(),
  /** Of the libraries. */
  versions: z.record(z.string(), z.string()),
});
export type DayFigure = z.infer<typeof DayFigure>;

/** The figures of all days, with those of one day put in the place of earlier ones of that day. */
export function withDay(
  known: readonly DayFigure[],
  results: readonly RowResult[],
  { day, machine, versions }: Pick<DayFigure, 'day' | 'machine' | 'versions'>,
): DayFigure[] {
  const made = results.flatMap(({ row, ours, torch, ratio }): DayFigure[] =>
    ours && torch && ratio !== null
      ? [{ day, machine, row: row.name, ours: ours.median, torch: torch.median, ratio, versions }]
      : [],
  );
  const isAgain = (figure: DayFigure): boolean =>
    made.some(({ row }) => figure.day === day && figure.machine === machine && figure.row === row);
  return [...known.filter((figure) => !isAgain(figure)), ...made];
}

/** The ratio of a row over the days of a machine, in words: a claim needs three days at least. */
export function daysWords(days: readonly DayFigure[], row: string, machine: string): string {
  const ratios = days.filter((figure) => figure.row === row && figure.machine === machine).map(({ ratio }) => ratio);
  if (ratios.length === 0) return '';
  if (ratios.length === 1) return 'this day only';
  return `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}, ${ratios.length} days`;
}

/** The days that a file has; none if there is no file. @throws if it is no such file */
export async function readDays(file: string): Promise<DayFigure[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? '[]' : Promise.reject(error),
  );
  return z.array(DayFigure).parse(JSON.parse(text));
}

export const writeDays = (file: string, days: readonly DayFigure[]): Promise<void> =>
  writeFile(file, `${JSON.stringify(days, null, 1)}\n`);
