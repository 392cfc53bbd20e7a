import { defaultArms } from './arms.js';
import { gameTree } from './game-tree.js';
import { gameNames, gameOf } from './games.js';
import { share, type Estimate } from './intervals.js';
import { Learner } from './learner.js';
import { randomPolicy, type Sharing } from './tabular-policy.js';
import type { LabAlgorithm } from './tabular-ppo.js';

/** A plain gradient step so small that what J does is its slope along the algorithm's direction. */
const RATE = 1e-5;
/** Slopes of J / optimum above this are uphill, or flat but for rounding. */
const DOWNHILL = -1e-6;

/** Share of random starts at which an algorithm's own direction lowers the exact return, however small the step. */
export interface FirstStepRow {
  readonly sharing: Sharing;
  readonly algorithm: string;
  readonly order: string;
  readonly normalization: string;
  readonly downhill: readonly { readonly game: string; readonly share: Estimate }[];
}

/** Slope of J / optimum along the first iteration's direction, exact expectations. */
export function firstSlope(
  game: string,
  sharing: Sharing,
  algorithm: LabAlgorithm,
  seed: number,
  start: number,
): number {
  const key = `${seed}/${start}`;
  const tree = gameTree(gameOf(game, key));
  const learner = new Learner(randomPolicy(tree, sharing, key), {
    algorithm,
    step: { rule: 'gradient', learningRate: RATE },
    rollouts: 'exact',
    seed: key,
  });
  const before = learner.return;
  learner.iterate(0);
  return (learner.return - before) / (RATE * tree.optimum);
}

/** Every algorithm with its defaults, one epoch. */
export function firstSteps({
  game,
  algorithm,
  seed,
  starts,
}: {
  readonly game?: string | undefined;
  readonly algorithm?: string | undefined;
  readonly seed: number;
  readonly starts: number;
}): FirstStepRow[] {
  const arms = defaultArms(1).filter(({ name }) => algorithm === undefined || name.startsWith(algorithm));
  const games = gameNames.filter((name) => game === undefined || name === game);
  return (['per-turn', 'shared'] as const).flatMap((sharing) =>
    arms.map((arm) => ({
      sharing,
      algorithm: arm.name,
      order: arm.order,
      normalization: arm.normalization,
      downhill: games.map((name) => {
        const falling = Array.from({ length: starts }, (_, start) =>
          firstSlope(name, sharing, arm.algorithm, seed, start),
        ).filter((slope) => slope < DOWNHILL);
        return { game: name, share: share(falling.length, starts) };
      }),
    })),
  );
}
