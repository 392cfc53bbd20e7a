import { rmSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { ReadyFileThread } from './ready-file-thread.js';

const BEAT_MS = 1_000;
/** A machine whose cores all compute lets a process wait for seconds; for half a minute only one that hangs. */
const HANG_MS = 30_000;

/**
 * Keeps a file for as long as this process takes tasks. A thread of its own watches the main one: while that hangs, the
 * file is away, so that a supervisor which looks for the file does not take a living process id for a working one. The
 * file's time is renewed every few seconds, which tells of a process that was stopped as a whole.
 *
 * @returns  ends it, and removes the file
 */
export function keepReadyFile(path: string, content: string, hangMs = HANG_MS): () => Promise<void> {
  const beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const timer = setInterval(() => Atomics.add(beats, 0, 1), Math.min(BEAT_MS, hangMs / 4));
  const thread = new Worker(new URL('./ready-file-thread.js', import.meta.url), {
    workerData: { path, content, beats, hangMs } satisfies ReadyFileThread,
    execArgv: [], // options of the process may be none that a thread takes
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
  });
  // Losing the watch is no reason to lose the worker; without renewal the file grows old, as that of a hanging process.
  thread.on('error', () => undefined);
  thread.unref();
  timer.unref();
  return async () => {
    clearInterval(timer);
    await thread.terminate();
    rmSync(path, { force: true });
  };
}
