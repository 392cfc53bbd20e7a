import { fixed } from '../../activities/report/format.js';
import type { FirstStepRow } from './first-step.js';
import type { Estimate } from './intervals.js';
import type { Findings } from './laboratory.js';
import type { ExperimentSummary, GapRow, RowSummary, Summary } from './summary.js';

/** A table in words, for Markdown and HTML alike. */
export interface WordTable {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const percent = (x: number, digits = 1): string => (Number.isFinite(x) ? `${fixed(100 * x, digits)} %` : '–');
const interval = ({ low, high }: Estimate, text: (x: number) => string): string => ` [${text(low)}, ${text(high)}]`;

export const shareWords = (estimate: Estimate): string =>
  `${percent(estimate.value)}${interval(estimate, (x) => fixed(100 * x, 1))}`;
const signedShareWords = (estimate: Estimate): string => `${estimate.value > 0 ? '+' : ''}${shareWords(estimate)}`;
/** Infinity is a median that K iterations did not see. */
const iterationWords = (x: number): string => (Number.isFinite(x) ? String(x) : 'never');
export const iterationsWords = (estimate: Estimate): string =>
  `${iterationWords(estimate.value)}${interval(estimate, iterationWords)}`;
export const countWords = (estimate: Estimate): string =>
  estimate.value === 0 ? '0' : `${fixed(estimate.value, 2)}${interval(estimate, (x) => fixed(x, 2))}`;
const ledgerWords = (error: Estimate | null): string =>
  error === null ? '–' : error.high < 1e-9 ? '0' : shareWords(error);
const largestWords = ({ largestFall, falls }: Summary): string =>
  falls.value === 0 ? '–' : percent(largestFall, largestFall < 0.001 ? 4 : 1);

const worst = ({ cells }: RowSummary): string => {
  const [least] = [...cells].sort((a, b) => a.reached.value - b.reached.value);
  return least!.reached.value === 1 ? '–' : `${least!.game} ${percent(least!.reached.value, 0)}`;
};
const missedWords = ({ missed }: Summary): string => (missed === null ? '–' : `${missed.starts}: ${missed.rescued}`);
const armColumns = ['algorithm', 'order', 'normalisation'];
const armWords = ({ arm }: RowSummary): string[] => [arm.name, arm.order, arm.normalization];

/** All games together: a row per arm. */
export function experimentTable({ id, rows }: ExperimentSummary): WordTable {
  if (id === 'theory') {
    return {
      columns: [
        'step',
        'K',
        'algorithm',
        'order',
        'within 1 % of the optimum',
        'worst game',
        'iterations to 99 %',
        'falls',
        'missed: plateaus',
      ],
      rows: rows.map((row) => [
        row.step,
        String(row.iterations),
        row.arm.name,
        row.arm.order,
        shareWords(row.all.reached),
        worst(row),
        iterationsWords(row.all.iterationsTo99),
        countWords(row.all.falls),
        missedWords(row.all),
      ]),
    };
  }
  return {
    columns: [
      ...armColumns,
      'within 1 % at equal rollouts',
      '... at equal optimiser steps, T times the rollouts',
      '... at equal rollouts and optimiser steps, T times the passes',
      'worst game',
      'iterations to 99 %',
      'starts with a fall',
      'falls per start',
      'largest fall',
      'missed: plateaus',
    ],
    rows: rows.map((row) => [
      ...armWords(row),
      shareWords(row.all.reached),
      shareWords(row.all.reachedAtEqualSteps),
      shareWords(row.all.reachedAtEqualBoth),
      worst(row),
      iterationsWords(row.all.iterationsTo99),
      shareWords(row.all.startsWithFall),
      countWords(row.all.falls),
      largestWords(row.all),
      missedWords(row.all),
    ]),
  };
}

/** One figure of every game: a row per arm. */
export function gameTable({ id, rows }: ExperimentSummary, figure: 'reached' | 'iterationsTo99' | 'falls'): WordTable {
  const words = { reached: shareWords, iterationsTo99: iterationsWords, falls: countWords }[figure];
  const head = id === 'theory' ? ['step', 'algorithm', 'order'] : armColumns;
  return {
    columns: [...head, ...rows[0]!.cells.map(({ game }) => game)],
    rows: rows.map((row) => [
      ...(id === 'theory' ? [row.step, row.arm.name, row.arm.order] : armWords(row)),
      ...row.cells.map((cell) => words(cell[figure])),
    ]),
  };
}

export function gapTable(rows: readonly GapRow[]): WordTable {
  return {
    columns: [
      'game',
      'per-turn tables, paper',
      'shared, paper',
      'shared, exact-suffix',
      'exact-suffix gains',
      'falls, paper',
      'falls, exact-suffix',
      'ledger error, paper',
      'ledger error, exact-suffix',
      'closed of it',
    ],
    rows: rows.map((row) => [
      row.game,
      shareWords(row.perTurn),
      shareWords(row.paper),
      shareWords(row.exactSuffix),
      signedShareWords(row.gained),
      countWords(row.fallsPaper),
      countWords(row.fallsExact),
      ledgerWords(row.ledgerPaper),
      ledgerWords(row.ledgerExact),
      row.ledgerClosed === null || !Number.isFinite(row.ledgerClosed.value) ? '–' : shareWords(row.ledgerClosed),
    ]),
  };
}

export const FIRST_STEP_TITLE = 'Is an infinitely small step uphill?';
export const FIRST_STEP_SETTING =
  'share of random starts at which the direction of the first iteration lowers the exact return however small the step; exact expectations, plain gradient, one epoch';

export function firstStepTable(rows: readonly FirstStepRow[]): WordTable {
  return {
    columns: ['parameters', ...armColumns, ...rows[0]!.downhill.map(({ game }) => game)],
    rows: rows.map(({ sharing, algorithm, order, normalization, downhill }) => [
      sharing,
      algorithm,
      order,
      normalization,
      ...downhill.map((each) => (each.share.value === 0 ? '0' : shareWords(each.share))),
    ]),
  };
}

export const GAP_TITLE = 'Shared parameters: what they cost, and what exact-suffix makes good of it';
export const GAP_SETTING =
  'exact expectations, reverse order, batch normalisation. Ledger error: |rise of the return that the last products of Eq. 8 predict - its rise|, summed over iterations, as a share of |rise|. With two turns in reverse order the products are exact before turn 1 in either objective';

export const READING =
  'SeeUPO takes T times the optimiser steps of a rival in an iteration of as many rollouts, and a rival\'s pass is over the responses of all T turns: the three columns give rivals as many rollouts; T times the iterations; or T times the passes over the same rollouts, which are T times SeeUPO\'s gradient tokens. Falls: iterations in which the exact return fell by more than 1e-9; largest as a share of the optimum. Intervals are of 95 %: Wilson for shares, order statistics for medians ("never": not within K iterations), percentile bootstrap over starts for the rest. Missed: starts that did not arrive in K iterations; plateaus: those of them from which small natural steps on a table arrive, so that no local optimum held them. The same starts, games and draws for every row.';

/** The findings as Markdown. */
export function markdown({ options, experiments, firstSteps, gap }: Findings): string {
  const table = ({ columns, rows }: WordTable): string =>
    [columns, columns.map(() => '---'), ...rows]
      .map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
      .join('\n');
  const parts = experiments.map(
    (experiment) =>
      `## ${experiment.title}\n${experiment.setting}; K = ${iterationsOf(experiment)} iterations.\n\n${table(experimentTable(experiment))}`,
  );
  parts.push(`## ${FIRST_STEP_TITLE}\n${FIRST_STEP_SETTING}.\n\n${table(firstStepTable(firstSteps))}`);
  if (gap.length > 0) parts.push(`## ${GAP_TITLE}\n${GAP_SETTING}.\n\n${table(gapTable(gap))}`);
  return `# Convergence laboratory\n${options.starts} random starts for each game, seed ${options.seed}. ${READING}\n\n${parts.join('\n\n')}\n`;
}

export const iterationsOf = ({ rows }: ExperimentSummary): string =>
  [...new Set(rows.map(({ iterations }) => iterations))].join(', ');
