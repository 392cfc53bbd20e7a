/** Turns played of a trajectory. */
export interface Played {
  readonly id: string;
  readonly turns: number;
}

/** Which turns make a pool: what one update is made on. */
export interface Pooling {
  /** Pools are updated one after the other, so that all but the first find a theta that has moved. */
  readonly isSequential: boolean;
  /**
   * @returns element t-1: ids of the trajectories with a seat in pool t, in the order given, once for each of their
   * turns in it
   */
  pools(trajectories: readonly Played[]): string[][];
  /** Turns, from 1, of a trajectory that are in the pool named `turn`. */
  turnsIn(turn: number, played: number): number[];
}

/** What the rivals of SeeUPO update: one pool with every turn of every trajectory. */
export const onePool = (trajectories: readonly Played[]): string[][] => [
  trajectories.flatMap(({ id, turns }) => new Array<string>(turns).fill(id)),
];

/**
 * D_t for t = 1..T: which trajectories are active at each turn. A trajectory that ended earlier keeps
 * its seat in the iteration but is inactive: no loss, no statistics, a ratio of exactly 1.
 *
 * @returns element t-1: ids of the trajectories that played turn t, in the order given
 */
export function turnPools(trajectories: readonly Played[]): string[][] {
  const T = Math.max(0, ...trajectories.map(({ turns }) => turns));
  return Array.from({ length: T }, (_, t) => trajectories.filter(({ turns }) => turns > t).map(({ id }) => id));
}

export const together: Pooling = {
  isSequential: false,
  pools: onePool,
  turnsIn: (_, played) => Array.from({ length: played }, (_, t) => t + 1),
};
export const turnByTurn: Pooling = {
  isSequential: true,
  pools: turnPools,
  turnsIn: (turn, played) => (turn <= played ? [turn] : []),
};
