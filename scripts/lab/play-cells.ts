import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Cell, Outcome } from './play-start.js';

/**
 * Every start of every cell, on as many threads as there are cores. The outcomes do not depend on
 * how many those are: a start is a function of the cell, the seed and its number.
 */
export async function playCells(
  cells: readonly Cell[],
  seed: number,
  starts: number,
  onCell: (done: number) => void,
): Promise<Outcome[][]> {
  const outcomes = new Array<Outcome[]>(cells.length);
  let [next, done] = [0, 0];
  const threads = Array.from({ length: Math.min(cells.length, availableParallelism()) }, async () => {
    const worker = new Worker(new URL('./cell-worker.js', import.meta.url));
    try {
      while (next < cells.length) {
        const mine = next++;
        worker.postMessage({ cell: cells[mine], seed, starts });
        [outcomes[mine]] = (await once(worker, 'message')) as [Outcome[]];
        onCell(++done);
      }
    } finally {
      await worker.terminate();
    }
  });
  await Promise.all(threads);
  return outcomes;
}
