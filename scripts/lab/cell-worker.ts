// A thread that plays cells: plain numbers in, plain numbers out.
import { parentPort } from 'node:worker_threads';
import { playStart, type Cell } from './play-start.js';

parentPort!.on('message', ({ cell, seed, starts }: { cell: Cell; seed: number; starts: number }) => {
  parentPort!.postMessage(Array.from({ length: starts }, (_, start) => playStart(cell, seed, start)));
});
