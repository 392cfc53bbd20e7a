/**
 * The order in which the turn pools are updated: `reverse` (T..1) is what the paper's theorems need.
 *
 * @param turns  T of this iteration
 */
export function turnOrder(order: 'reverse' | 'forward', turns: number): number[] {
  const forward = Array.from({ length: turns }, (_, index) => index + 1);
  return order === 'reverse' ? forward.reverse() : forward;
}
