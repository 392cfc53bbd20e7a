import { Worker } from 'node:worker_threads';
import { watchAuthorCalls } from '../../activities/environments/author-calls.js';

/** Bytes of the author's call that is told. */
const SHOWN_BYTES = 300;
const BEAT_MS = 200;

/** What the thread watches: a count that grows while the main thread is free, and what it called last. */
export interface Watched {
  readonly file: string;
  readonly hangMs: number;
  readonly beats: Int32Array<SharedArrayBuffer>;
  readonly called: Uint8Array<SharedArrayBuffer>;
}

/**
 * Ends this process with a word if its main thread hangs: a loop without an end that comes after an `await` of a tool's can be
 * interrupted by nothing in the process itself.
 *
 * @returns ends the watch
 */
export function watchForHangs(file: string, hangMs: number): () => Promise<void> {
  const watched: Watched = {
    file,
    hangMs,
    beats: new Int32Array(new SharedArrayBuffer(4)),
    called: new Uint8Array(new SharedArrayBuffer(SHOWN_BYTES)),
  };
  const encoder = new TextEncoder();
  watchAuthorCalls((call) => {
    watched.called.fill(0);
    encoder.encodeInto(call, watched.called);
  });
  const timer = setInterval(() => Atomics.add(watched.beats, 0, 1), BEAT_MS).unref();
  const thread = new Worker(new URL('./hang-watch-thread.js', import.meta.url), { workerData: watched });
  thread.unref();
  return async () => {
    clearInterval(timer);
    watchAuthorCalls(null);
    await thread.terminate();
  };
}
