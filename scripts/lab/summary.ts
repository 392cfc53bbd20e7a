import { mean, sum } from '../../activities/numerics/statistics.js';
import type { Arm } from './arms.js';
import type { Experiment } from './experiments.js';
import { median, ratioOf, share, type Bootstrap, type Estimate } from './intervals.js';
import { curveIterations, type Outcome } from './play-start.js';

/** What the starts of one cell, or of a row's cells together, came to; estimates have 95 % intervals. */
export interface Summary {
  readonly starts: number;
  /** Share within 1 % of the optimum after K iterations. */
  readonly reached: Estimate;
  /** The same after as many optimiser steps as SeeUPO takes in K iterations. */
  readonly reachedAtEqualSteps: Estimate;
  /** The same after K iterations with T times the passes of a rival: equal rollouts and optimiser steps. */
  readonly reachedAtEqualBoth: Estimate;
  /** Median over all starts; Infinity (null in JSON): not within K iterations. */
  readonly iterationsTo99: Estimate;
  readonly startsWithFall: Estimate;
  /** Mean over starts of the iterations in which J fell by more than 1e-9. */
  readonly falls: Estimate;
  /** As a share of the optimum. */
  readonly largestFall: number;
  /** |rise that Eq. 8's products predict - rise| summed over iterations and starts, as a share of |rise|; null where there is none. */
  readonly ledgerError: Estimate | null;
  /** Starts that did not arrive, and how many of them did by small natural steps from there; null where that was not tried. */
  readonly missed: { readonly starts: number; readonly rescued: number } | null;
}

export interface CellSummary extends Summary {
  readonly game: string;
  /** Mean of J / optimum over the starts, at these iterations. */
  readonly curve: { readonly iterations: readonly number[]; readonly values: readonly number[] };
}

export interface RowSummary {
  readonly arm: Omit<Arm, 'algorithm'>;
  readonly step: string;
  readonly iterations: number;
  readonly cells: readonly CellSummary[];
  /** All games together. */
  readonly all: Summary;
}

export interface ExperimentSummary extends Pick<Experiment, 'id' | 'title' | 'setting'> {
  readonly rows: readonly RowSummary[];
}

export function summarized(outcomes: readonly Outcome[], bootstrap: Bootstrap): Summary {
  const n = outcomes.length;
  const count = (holds: (outcome: Outcome) => boolean): number => outcomes.filter(holds).length;
  const ledgers = outcomes.map(({ ledger }) => ledger ?? { error: 0, rise: 0 });
  const rescues = outcomes.filter(({ rescued }) => rescued !== null);
  return {
    starts: n,
    reached: share(
      count(({ reached }) => reached),
      n,
    ),
    reachedAtEqualSteps: share(
      count(({ reachedAtEqualSteps }) => reachedAtEqualSteps),
      n,
    ),
    reachedAtEqualBoth: share(
      count(({ reachedAtEqualBoth }) => reachedAtEqualBoth),
      n,
    ),
    iterationsTo99: median(outcomes.map(({ iterationsTo99 }) => iterationsTo99)),
    startsWithFall: share(
      count(({ falls }) => falls > 0),
      n,
    ),
    falls: bootstrap(
      n,
      ratioOf(
        outcomes.map(({ falls }) => falls),
        outcomes.map(() => 1),
      ),
    ),
    largestFall: Math.max(...outcomes.map(({ largestFall }) => largestFall)),
    ledgerError:
      sum(ledgers.map(({ rise }) => rise)) === 0
        ? null
        : bootstrap(
            n,
            ratioOf(
              ledgers.map(({ error }) => error),
              ledgers.map(({ rise }) => rise),
            ),
          ),
    missed:
      rescues.length === 0
        ? null
        : { starts: rescues.length, rescued: rescues.filter(({ rescued }) => rescued).length },
  };
}

/** @param outcomes  of the experiment's cells, row after row */
export function summarizeExperiment(
  { id, title, setting, rows }: Experiment,
  outcomes: readonly (readonly Outcome[])[],
  bootstrap: Bootstrap,
): ExperimentSummary {
  let next = 0;
  return {
    id,
    title,
    setting,
    rows: rows.map(({ arm: { name, order, normalization }, step, cells }) => {
      const ofCells = cells.map(() => outcomes[next++]!);
      return {
        arm: { name, order, normalization },
        step,
        iterations: cells[0]!.iterations,
        cells: cells.map((cell, c) => ({
          game: cell.game,
          ...summarized(ofCells[c]!, bootstrap),
          curve: {
            iterations: curveIterations(cell.iterations),
            values: curveIterations(cell.iterations).map((_, point) =>
              mean(ofCells[c]!.map(({ curve }) => curve[point]!)),
            ),
          },
        })),
        all: summarized(ofCells.flat(), bootstrap),
      };
    }),
  };
}

/** How much of what sharing costs `exact-suffix` makes good, on one game. */
export interface GapRow {
  readonly game: string;
  readonly perTurn: Estimate;
  readonly paper: Estimate;
  readonly exactSuffix: Estimate;
  /** reached(exact-suffix) - reached(paper), from the same starts. */
  readonly gained: Estimate;
  readonly fallsPaper: Estimate;
  readonly fallsExact: Estimate;
  readonly ledgerPaper: Estimate | null;
  readonly ledgerExact: Estimate | null;
  /** 1 - ledger error of exact-suffix / of paper; with per-turn tables the error is 0 on one-token games. */
  readonly ledgerClosed: Estimate | null;
}

export function gapRow(
  game: string,
  perTurn: readonly Outcome[],
  paper: readonly Outcome[],
  exact: readonly Outcome[],
  bootstrap: Bootstrap,
): GapRow {
  const n = paper.length;
  const [before, after] = [summarized(paper, bootstrap), summarized(exact, bootstrap)];
  const errorOf = (outcomes: readonly Outcome[]) =>
    ratioOf(
      outcomes.map(({ ledger }) => ledger?.error ?? 0),
      outcomes.map(({ ledger }) => ledger?.rise ?? 0),
    );
  const [errorBefore, errorAfter] = [errorOf(paper), errorOf(exact)];
  return {
    game,
    perTurn: summarized(perTurn, bootstrap).reached,
    paper: before.reached,
    exactSuffix: after.reached,
    gained: bootstrap(
      n,
      ratioOf(
        exact.map(({ reached }, i) => Number(reached) - Number(paper[i]!.reached)),
        paper.map(() => 1),
      ),
    ),
    fallsPaper: before.falls,
    fallsExact: after.falls,
    ledgerPaper: before.ledgerError,
    ledgerExact: after.ledgerError,
    ledgerClosed:
      before.ledgerError === null || after.ledgerError === null
        ? null
        : bootstrap(n, (indices) => 1 - errorAfter(indices) / errorBefore(indices)),
  };
}
