import { shuffled } from '../numerics/random.js';

/**
 * Deals the tasks of a pool over minibatches, whole groups together (they share prefixes), in an
 * order that depends on the key alone. Fewer tasks than minibatches give fewer minibatches.
 *
 * @returns taskIds per minibatch; sizes differ by at most 1
 */
export function dealMinibatches(taskIds: readonly string[], count: number, key: string): string[][] {
  const order = shuffled([...new Set(taskIds)], key);
  const batches = Array.from({ length: Math.min(count, order.length) }, (): string[] => []);
  order.forEach((taskId, i) => batches[i % batches.length]!.push(taskId));
  return batches;
}
