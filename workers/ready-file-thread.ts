import { existsSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

/** See ready-file.ts. */
export interface ReadyFileThread {
  readonly path: string;
  readonly content: string;
  /** One number, counted up by the main thread while its event loop turns. */
  readonly beats: Int32Array;
  /** The main thread hangs if it has not counted for so long, in ms. */
  readonly hangMs: number;
}

const { path, content, beats, hangMs } = workerData as ReadyFileThread;
let seen = -1;
let lastBeat = Date.now();

function look(): void {
  const now = Atomics.load(beats, 0);
  if (now !== seen) [seen, lastBeat] = [now, Date.now()];
  try {
    if (Date.now() - lastBeat > hangMs) rmSync(path, { force: true });
    else if (existsSync(path)) utimesSync(path, new Date(), new Date());
    else writeFileSync(path, content);
  } catch {
    // A full disk: the next look tries again.
  }
}

look();
setInterval(look, Math.min(2_000, hangMs / 4));
