import { adamW, allArms, defaultArms, gspo, seeupo, type Arm } from './arms.js';
import { gameNames } from './games.js';
import type { Cell } from './play-start.js';
import type { StepRule } from './step-rules.js';
import type { Sharing } from './tabular-policy.js';

/** A table: arms down, games across, all under one setting. */
export interface Experiment {
  readonly id: string;
  readonly title: string;
  /** What is held fixed. */
  readonly setting: string;
  readonly rows: readonly { readonly arm: Arm; readonly step: string; readonly cells: readonly Cell[] }[];
}

/** Parts of the laboratory that are asked for; left out: all. */
export interface Selection {
  readonly game?: string | undefined;
  /** Part of an experiment's id, e.g. `theory`, `exact`, `shared-sampled`. */
  readonly part?: string | undefined;
  /** As `arm.name` begins, e.g. `seeupo` or `grpo dapo`. */
  readonly algorithm?: string | undefined;
}

const STEPS: readonly { readonly label: string; readonly step: StepRule; readonly iterations: number }[] = [
  { label: 'natural 0.1', step: { rule: 'natural', learningRate: 0.1 }, iterations: 100 },
  { label: 'natural 10', step: { rule: 'natural', learningRate: 10 }, iterations: 30 },
  { label: 'gradient 0.5', step: { rule: 'gradient', learningRate: 0.5 }, iterations: 200 },
  { label: 'AdamW 0.05', step: adamW(0.05), iterations: 200 },
];

/** Per-turn tables and exact expectations: the setting of Theorems 1 and 2, by size and kind of step. */
function theory(quick: boolean): Experiment {
  const chosen = STEPS.filter(({ label }) => !quick || label.startsWith('natural'));
  const arms = [
    seeupo(1),
    seeupo(1, { updateOrder: 'forward' }),
    seeupo(1, { updateOrder: 'random' }),
    gspo(1, { normalization: 'batch' }),
  ];
  // Orders show in the size of steps; the other kinds of step are compared with each other.
  const armsOf = (label: string): Arm[] =>
    label.startsWith('natural') ? arms : arms.filter(({ order }) => order === 'reverse' || order === '–');
  return {
    id: 'theory',
    title: 'The setting of the theorems: a table per turn, exact expectations',
    setting:
      'one epoch, so every ratio is 1 at the gradient and no clip acts. natural: the exact KL-proximal update, small (0.1) and near best response (10), on advantages of unit deviation; gradient: plain gradient ascent; AdamW: as in real runs',
    rows: chosen.flatMap(({ label, ...step }) =>
      armsOf(label).map((arm) => ({
        arm,
        step: label,
        cells: gameNames.map((game) => ({
          ...step,
          game,
          sharing: 'per-turn' as const,
          rollouts: 'exact' as const,
          rescue: true,
          algorithm: arm.algorithm,
        })),
      })),
    ),
  };
}

/** Passes over a pool, so that ratios leave 1 and clips act. */
const EPOCHS = 4;
const LEARNING_RATE = 0.1;
const SAMPLED = { groupSize: 8, copies: 2 };

/** Every algorithm as real runs use it: AdamW, several epochs, clips that act. */
const rivals = (
  sharing: Sharing,
  rollouts: Cell['rollouts'],
  arms: readonly Arm[],
  iterations: number,
): Experiment => ({
  id: `${sharing}-${rollouts === 'exact' ? 'exact' : 'sampled'}`,
  title: `Every algorithm: ${sharing === 'shared' ? 'shared parameters' : 'a table per turn'}, ${rollouts === 'exact' ? 'exact expectations' : `${SAMPLED.copies} groups of ${SAMPLED.groupSize} samples for each prompt`}`,
  setting: `AdamW ${LEARNING_RATE}, ${EPOCHS} epochs, clip and all else as the schema's defaults, no divergence term`,
  rows: arms.map((arm) => ({
    arm,
    step: `AdamW ${LEARNING_RATE}`,
    cells: gameNames.map((game) => ({
      game,
      sharing,
      rollouts,
      iterations,
      rescue: rollouts === 'exact',
      step: adamW(LEARNING_RATE),
      algorithm: arm.algorithm,
    })),
  })),
});

/** The whole laboratory, or what is left of it by `quick` and a selection. */
export function experiments(quick: boolean, { game, part, algorithm }: Selection): Experiment[] {
  const arms = quick ? defaultArms(EPOCHS) : allArms(EPOCHS);
  const iterations = 40;
  const all = [
    theory(quick),
    ...(['per-turn', 'shared'] as const).map((sharing) => rivals(sharing, 'exact', arms, iterations)),
    ...(quick ? [] : (['per-turn', 'shared'] as const).map((sharing) => rivals(sharing, SAMPLED, arms, iterations))),
  ];
  return all
    .filter(({ id }) => part === undefined || id.includes(part))
    .map((experiment) => ({
      ...experiment,
      rows: experiment.rows
        .filter(({ arm }) => algorithm === undefined || arm.name.startsWith(algorithm))
        .map((row) => ({ ...row, cells: row.cells.filter((cell) => game === undefined || cell.game === game) })),
    }))
    .filter(({ rows }) => rows.length > 0);
}
