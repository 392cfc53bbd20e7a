import { experiments, type Experiment, type Selection } from './experiments.js';
import { firstSteps, type FirstStepRow } from './first-step.js';
import { bootstrap } from './intervals.js';
import { playCells } from './play-cells.js';
import type { Outcome } from './play-start.js';
import { gapRow, summarizeExperiment, type ExperimentSummary, type GapRow } from './summary.js';

export interface LaboratoryOptions extends Selection {
  readonly quick: boolean;
  readonly starts: number;
  readonly seed: number;
}

/** Everything that was measured; the same options give the same figures on any machine. */
export interface Findings {
  readonly format: 1;
  readonly options: LaboratoryOptions;
  readonly experiments: readonly ExperimentSummary[];
  readonly firstSteps: readonly FirstStepRow[];
  /** With exact expectations, reverse order, batch normalisation. */
  readonly gap: readonly GapRow[];
}

/** @throws {RangeError} if the selection leaves nothing to do */
export async function runLaboratory(
  options: LaboratoryOptions,
  onProgress: (done: number, cells: number) => void,
): Promise<Findings> {
  const chosen = experiments(options.quick, options);
  const cells = chosen.flatMap(({ rows }) => rows.flatMap((row) => row.cells));
  if (cells.length === 0)
    throw new RangeError(
      `nothing is called part "${options.part ?? 'any'}", game "${options.game ?? 'any'}" and algorithm "${options.algorithm ?? 'any'}": see --help for the names`,
    );
  const outcomes = await playCells(cells, options.seed, options.starts, (done) => onProgress(done, cells.length));
  const resample = bootstrap(`${options.seed}`);
  const found = new Map(cells.map((cell, i) => [cell, outcomes[i]!]));
  return {
    format: 1,
    options,
    experiments: chosen.map((experiment) =>
      summarizeExperiment(
        experiment,
        experiment.rows.flatMap((row) => row.cells.map((cell) => found.get(cell)!)),
        resample,
      ),
    ),
    firstSteps: firstSteps(options),
    gap: games(chosen).flatMap((game) => {
      const of = (id: string, name: string): Outcome[] | undefined => {
        const row = chosen
          .find((experiment) => experiment.id === id)
          ?.rows.find(({ arm }) => arm.name === name && arm.order === 'reverse' && arm.normalization === 'batch');
        const cell = row?.cells.find((each) => each.game === game);
        return cell && found.get(cell);
      };
      const [perTurn, paper, exact] = [
        of('per-turn-exact', 'seeupo paper'),
        of('shared-exact', 'seeupo paper'),
        of('shared-exact', 'seeupo exact-suffix'),
      ];
      return perTurn && paper && exact ? [gapRow(game, perTurn, paper, exact, resample)] : [];
    }),
  };
}

const games = (chosen: readonly Experiment[]): string[] => [
  ...new Set(chosen.flatMap(({ rows }) => rows.flatMap(({ cells }) => cells.map(({ game }) => game)))),
];
