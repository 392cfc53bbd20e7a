// A thread beside the main one, see hang-watch.ts.
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import type { Watched } from './hang-watch.js';

const { file, hangMs, beats, called } = workerData as Watched;
const STANDARD_ERROR = 2;

for (let [seen, since] = [-1, performance.now()]; ; await sleep(hangMs / 10)) {
  const count = Atomics.load(beats, 0);
  if (count !== seen) [seen, since] = [count, performance.now()];
  const hungMs = performance.now() - since;
  if (hungMs < hangMs) continue;
  const last = new TextDecoder().decode(Uint8Array.from(called).filter((byte) => byte !== 0));
  const where = last === '' ? 'while it was loaded' : `the last function called is ${last}`;
  writeSync(
    STANDARD_ERROR,
    `${file} has not given the thread back for ${Math.round(hungMs / 1000)} s: is there a loop without an end? ${where}\n`,
  );
  process.kill(process.pid, 'SIGKILL');
}
