import { shuffled, uniform } from '../../activities/numerics/random.js';

/** What the fault proxy makes the store do: answer an error, answer late, cut bodies in half, have no room. */
export const STORE_FAULTS = ['500', '503', 'slow', 'cut', 'full'] as const;
export type StoreFault = (typeof STORE_FAULTS)[number];

export const KILLED = ['gpu-worker', 'cpu-worker', 'bfcl', 'temporal', 's3'] as const;
export type Killed = (typeof KILLED)[number];

export type Fault =
  /** SIGKILL; of the GPU workers, the one at work. */
  | { readonly kind: 'kill'; readonly service: Killed }
  /** SIGSTOP of the GPU worker at work, SIGCONT after so many seconds: it wakes up as a zombie and commits. */
  | { readonly kind: 'freeze'; readonly seconds: number }
  | { readonly kind: 'store'; readonly fault: StoreFault; readonly seconds: number }
  /** The iteration under way is started a second time: each of its activities runs twice at once. */
  | { readonly kind: 'twin' };

export interface Blow {
  readonly fault: Fault;
  /** When it falls, as a share of the undisturbed run's time. */
  readonly at: number;
}

/** Past the heartbeat time-out of workflows/activity-proxies.ts, 30 s: another worker has taken the step when this one wakes. */
const FREEZE_SECONDS = 36;
/** Longer than the S3 client's own repeats, shorter than a store is waited for. */
const STORE_FAULT_SECONDS = [2, 8] as const;
/** A blow in the last tenth could come after the end. */
const LATEST = 0.9;
/** A twin needs an iteration to come. */
const LATEST_TWIN = 0.6;
/** Chance of a second fault in a trial, and of a third. */
const ANOTHER = 0.4;
const MOST = 3;

/** Every kind of fault once. A run without the sidecar has no sidecar to kill. */
export function everyFault(key: string, without: readonly Killed[] = []): Fault[] {
  const [shortest, longest] = STORE_FAULT_SECONDS;
  return [
    ...KILLED.filter((service) => !without.includes(service)).map((service) => ({ kind: 'kill', service }) as const),
    ...STORE_FAULTS.map(
      (fault) =>
        ({
          kind: 'store',
          fault,
          seconds: round(shortest + (longest - shortest) * uniform(`${key}/seconds/${fault}`)),
        }) as const,
    ),
    { kind: 'freeze', seconds: FREEZE_SECONDS },
    { kind: 'twin' },
  ];
}

/**
 * The blows of one trial, in the order in which they fall: a function of seed and trial only.
 *
 * The first comes from a bag with every kind of fault in it, so that few trials see many kinds; what
 * else falls is drawn freely.
 */
export function planTrial(seed: number, trial: number, without: readonly Killed[] = []): Blow[] {
  const key = `chaos/${seed}/${trial}`;
  const all = everyFault(key, without);
  const bag = shuffled(all, `chaos/${seed}/bag/${Math.floor(trial / all.length)}`);
  const faults = [bag[trial % bag.length]!];
  while (faults.length < MOST && uniform(`${key}/another/${faults.length}`) < ANOTHER) {
    faults.push(all[Math.floor(uniform(`${key}/fault/${faults.length}`) * all.length)]!);
  }
  return faults
    .map((fault, n) => ({
      fault,
      at: round(uniform(`${key}/at/${n}`) * (fault.kind === 'twin' ? LATEST_TWIN : LATEST)),
    }))
    .sort((a, b) => a.at - b.at);
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

/**
 * An instant as what a run under other load can wait for: so many commits, then so many seconds.
 *
 * @param commits  seconds from the start to each commit of the undisturbed run, ascending
 * @param at       share of the time from the start to the last commit
 */
export function instant(
  commits: readonly number[],
  at: number,
): { readonly commits: number; readonly seconds: number } {
  const time = at * (commits.at(-1) ?? 0);
  const before = commits.filter((commit) => commit <= time).length;
  return { commits: before, seconds: time - (commits[before - 1] ?? 0) };
}

export function named(fault: Fault): string {
  switch (fault.kind) {
    case 'kill':
      return `SIGKILL ${fault.service}`;
    case 'freeze':
      return `SIGSTOP gpu-worker ${fault.seconds} s`;
    case 'store':
      return `S3 ${{ '500': 'answers 500', '503': 'answers 503', slow: 'is slow', cut: 'cuts bodies', full: 'is full' }[fault.fault]} ${fault.seconds.toFixed(0)} s`;
    case 'twin':
      return 'iteration twice at once';
  }
}
