import { readFile } from 'node:fs/promises';

/** Resident set of each process at the end of each iteration, in bytes. */
export type Samples = Readonly<Record<string, readonly number[]>>;

export interface Drift {
  readonly service: string;
  /** Medians over a window after the warm-up, and over the last one, in bytes. */
  readonly early: number;
  readonly late: number;
  /** Growth from one to the other, as a share of the first. */
  readonly growth: number;
}

/** Iterations until caches, pools and heaps have their size, and those that a median is taken over. */
export const WARM_UP = 20;
export const WINDOW = 20;

/** @throws {RangeError} if there are too few samples for two windows */
export function drifts(samples: Samples): Drift[] {
  return Object.entries(samples).map(([service, bytes]) => {
    if (bytes.length < WARM_UP + 2 * WINDOW) throw new RangeError(`${service} has ${bytes.length} samples, expected at least ${WARM_UP + 2 * WINDOW}: run more iterations`);
    const [early, late] = [median(bytes.slice(WARM_UP, WARM_UP + WINDOW)), median(bytes.slice(-WINDOW))];
    return { service, early, late, growth: late / early - 1 };
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
}

/** Resident set of a process in bytes, from the kernel; 0 if it is gone. */
export async function residentSet(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
}
