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
  /** The same from a window in the middle: what is left of it there is a leak, the rest were caches and heaps that filled. */
  readonly growthSinceHalf: number;
}

/** Iterations until caches, pools and heaps have their size, and those that a median is taken over. */
export const WARM_UP = 20;
export const WINDOW = 20;
export const FEWEST_ITERATIONS = WARM_UP + 2 * WINDOW;

/** @throws {RangeError} if there are too few samples for two windows */
export function drifts(samples: Samples): Drift[] {
  return Object.entries(samples).map(([service, bytes]) => {
    if (bytes.length < FEWEST_ITERATIONS)
      throw new RangeError(
        `${service} has ${bytes.length} samples, expected at least ${FEWEST_ITERATIONS}: run more iterations`,
      );
    const middle = (bytes.length - WINDOW) >> 1;
    const [early, half, late] = [WARM_UP, middle, bytes.length - WINDOW].map((from) =>
      median(bytes.slice(from, from + WINDOW)),
    ) as [number, number, number];
    return { service, early, late, growth: late / early - 1, growthSinceHalf: late / half - 1 };
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
