/** What the rivals of SeeUPO update: one pool with every turn of every trajectory. */
export const onePool = (trajectories: readonly { readonly id: string; readonly turns: number }[]): string[][] => [
  trajectories.flatMap(({ id, turns }) => new Array<string>(turns).fill(id)),
];

/**
 * D_t for t = 1..T: which trajectories are active at each turn. A trajectory that ended earlier keeps
 * its seat in the iteration but is inactive: no loss, no statistics, a ratio of exactly 1.
 *
 * @returns element t-1: ids of the trajectories that played turn t, in the order given
 */
export function turnPools(trajectories: readonly { readonly id: string; readonly turns: number }[]): string[][] {
  const T = Math.max(0, ...trajectories.map(({ turns }) => turns));
  return Array.from({ length: T }, (_, t) => trajectories.filter(({ turns }) => turns > t).map(({ id }) => id));
}
