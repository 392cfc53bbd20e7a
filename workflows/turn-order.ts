import type { RunRef } from '../schemas/run.js';

/**
 * The order in which the turn pools are updated: `reverse` (T..1) is what the paper's theorems need.
 * `random` draws a new order for every iteration.
 *
 * @param turns      T of this iteration
 * @param iteration  k; with the seed it determines a random order
 */
export function turnOrder(order: RunRef['updateOrder'], turns: number, iteration: number): number[] {
  const forward = Array.from({ length: turns }, (_, index) => index + 1);
  if (order === 'forward') return forward;
  if (order === 'reverse') return forward.reverse();
  if (Array.isArray(order)) return order.filter((turn) => turn <= turns);
  return shuffle(forward, order.random, iteration);
}

/** Fisher-Yates shuffle with hashed counters as random numbers: a pure function, as replay and resumption need. */
function shuffle(items: readonly number[], seed: number, iteration: number): number[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor((mix32(mix32(mix32(seed) ^ iteration) ^ i) / 2 ** 32) * (i + 1));
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

/** The 32-bit finaliser of MurmurHash3. */
function mix32(value: number): number {
  let h = (value + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
