import { writeSync } from 'node:fs';
import type { Logger, LogMetadata } from '@temporalio/worker';
import { pino, type DestinationStream, type Logger as Pino } from 'pino';

const STDOUT = 1;
/** A full pipe is tried for this long: whoever reads it may only be slow. */
const PIPE_WAIT_MS = 200;

/**
 * Lines go out at once, and a line that cannot be written is given up: a worker whose disk is full, or whose reader is
 * gone, goes on with its work. The first line that fits again says how many were lost.
 *
 * @param write  writes one line whole, or throws
 */
export function lossyDestination(write: (line: string) => void = writeToStdout): DestinationStream {
  let lost = 0;
  return {
    write(line: string): void {
      try {
        if (lost > 0)
          write(
            `${JSON.stringify({ level: 40, time: Date.now(), pid: process.pid, lost, msg: 'log lines were lost: nothing could be written' })}\n`,
          );
        lost = 0;
        write(line);
      } catch {
        lost += 1;
      }
    },
  };
}

function writeToStdout(line: string): void {
  let rest = Buffer.from(line);
  for (const until = Date.now() + PIPE_WAIT_MS; rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(STDOUT, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || Date.now() > until) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); // sleeps: there is nothing else to do
    }
  }
}

/** One JSON line per event on standard output. */
export const createLog = (worker: string, level: string, destination = lossyDestination()): Pino =>
  pino({ level, base: { worker, pid: process.pid } }, destination);

/** What Node and libraries print by themselves may be lost like every other line; unheard, the error would end the process. */
export function outliveLostOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** The SDK's own events, and those of its native core, through the same log. */
export function temporalLogger(log: Pino): Logger {
  const at = (level: keyof typeof LEVELS) => (message: string, meta?: LogMetadata) => write(level, message, meta);
  function write(level: keyof typeof LEVELS, message: string, meta: LogMetadata = {}): void {
    const { error, ...rest } = meta;
    // Metadata may hold bigints, which JSON has no form for.
    const plain = Object.fromEntries(
      Object.entries(rest).map(([key, value]) => [key, typeof value === 'bigint' ? String(value) : value]),
    );
    log[LEVELS[level]]({ ...plain, ...(error !== undefined && { err: error }) }, message);
  }
  return { log: write, trace: at('TRACE'), debug: at('DEBUG'), info: at('INFO'), warn: at('WARN'), error: at('ERROR') };
}
