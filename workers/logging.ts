import type { Logger, LogMetadata } from '@temporalio/worker';
import { pino, type Logger as Pino } from 'pino';

/** One JSON line per event on standard output. */
export const createLog = (worker: string, level: string): Pino => pino({ level, base: { worker, pid: process.pid } });

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** The SDK's own events through the same log. */
export function temporalLogger(log: Pino): Logger {
  const at = (level: keyof typeof LEVELS) => (message: string, meta?: LogMetadata) => write(level, message, meta);
  function write(level: keyof typeof LEVELS, message: string, meta: LogMetadata = {}): void {
    const { error, ...rest } = meta;
    // Metadata may hold bigints, which JSON has no form for.
    const plain = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, typeof value === 'bigint' ? String(value) : value]));
    log[LEVELS[level]]({ ...plain, ...(error !== undefined && { err: error }) }, message);
  }
  return { log: write, trace: at('TRACE'), debug: at('DEBUG'), info: at('INFO'), warn: at('WARN'), error: at('ERROR') };
}
