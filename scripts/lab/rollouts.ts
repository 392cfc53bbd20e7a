import { uniforms } from '../../activities/numerics/random.js';
import type { GameTree } from './game-tree.js';

/** A trajectory as the algorithms see it. */
export interface Seat {
  readonly id: string;
  readonly taskId: string;
  /** R_i */
  readonly reward: number;
  /** Its probability where all trajectories are listed; left out where they were sampled. */
  readonly share?: number;
  /** T_i */
  readonly turns: number;
  /** Index into the game's paths. */
  readonly path: number;
}

/** `exact`: every trajectory with its probability. Else G samples for each task and copy of it. */
export type Rollouts = 'exact' | { readonly groupSize: number; readonly copies: number };

/** Step 1: what theta_k plays. A function of the probabilities and the key alone. */
export function rollOut(
  { paths, game }: GameTree,
  probabilities: readonly number[],
  rollouts: Rollouts,
  key: string,
): Seat[] {
  const seat = (taskId: string, task: number, path: number, id: string): Seat => ({
    id,
    taskId,
    path,
    reward: paths[path]!.rewards[task]!,
    turns: paths[path]!.responses.length,
  });
  if (rollouts === 'exact') {
    return Array.from({ length: game.tasks }, (_, task) =>
      paths.map((_, path) => ({
        ...seat(`${task}`, task, path, `${task}/${path}`),
        share: probabilities[path]! / game.tasks,
      })),
    ).flat();
  }
  const groups = game.tasks * rollouts.copies;
  const draws = uniforms(key, groups * rollouts.groupSize);
  return Array.from(draws, (draw, i) => {
    const group = Math.floor(i / rollouts.groupSize);
    return seat(`${group}`, group % game.tasks, drawn(probabilities, draw), `${i}`);
  });
}

/** The index whose share of [0, 1) holds `draw`. */
function drawn(probabilities: readonly number[], draw: number): number {
  let below = 0;
  for (let i = 0; i < probabilities.length; i++) {
    below += probabilities[i]!;
    if (draw < below) return i;
  }
  // Rounding left the sum short of the draw: the likeliest is what the draw can only have meant.
  return probabilities.indexOf(Math.max(...probabilities));
}
