import { CancelledFailure, Context } from '@temporalio/activity';

/** Where a long step stands; goes into the heartbeat, which the Web UI shows live. */
export interface Progress {
  readonly phase: string;
  readonly done: number;
  readonly of: number;
}

/**
 * Takes note of progress. Throws CancelledFailure once the activity is cancelled, so that compute
 * which reports between tensor operations stops there. Fits `OnProgress` of policy/policy.ts.
 */
export type Report = (progress: Progress) => void;

/** Runs work while heartbeats go out; hands it the function to report progress with and a signal for requests to abort. */
export type WithHeartbeats = <R>(work: (report: Report, cancelled: AbortSignal) => Promise<R>) => Promise<R>;

/** Well under activity-proxies' 30 s: two lost heartbeats are no time-out. */
const INTERVAL_MS = 5_000;

/**
 * Heartbeats on a timer of the main thread, which never blocks (tensors live in a worker thread),
 * with the latest progress as details; a heartbeat is also how a cancellation reaches us.
 *
 * @throws {CancelledFailure} when the activity is cancelled, whatever error the abandoned work gave
 */
export const withHeartbeats: WithHeartbeats = async (work) => {
  const context = Context.current();
  let latest: Progress = { phase: 'start', done: 0, of: 0 };
  let cancellation: CancelledFailure | undefined;
  context.cancelled.catch((reason: unknown) => {
    cancellation = reason instanceof CancelledFailure ? reason : new CancelledFailure(String(reason));
  });
  context.heartbeat(latest);
  const timer = setInterval(() => context.heartbeat(latest), INTERVAL_MS);
  try {
    return await work((progress) => {
      if (cancellation) throw cancellation;
      latest = { phase: progress.phase, done: progress.done, of: progress.of };
    }, context.cancellationSignal);
  } catch (failure) {
    // The throw out of `report` may come back as another error, e.g. after it crossed a thread.
    throw cancellation ?? failure;
  } finally {
    clearInterval(timer);
  }
};

/** Activities that have no progress to report, with heartbeats all the same: a worker that dies in one is noticed. */
export const beating = <A extends Record<string, (...input: never[]) => Promise<unknown>>>(
  heartbeats: WithHeartbeats,
  activities: A,
): A =>
  Object.fromEntries(
    Object.entries(activities).map(([name, activity]) => [
      name,
      (...input: never[]) => heartbeats(() => activity(...input)),
    ]),
  ) as A;

/** For tests and scripts: runs the work, reports to nobody. */
export const withoutHeartbeats: WithHeartbeats = (work) => work(() => {}, new AbortController().signal);

/** Lets an environment that is down be waited for in public, and no longer than the activity lives. */
export const patience = (report: Report, signal: AbortSignal) => ({
  signal,
  onWait: ({ waitedMs }: { readonly waitedMs: number }) =>
    report({ phase: 'wait for the environment', done: Math.round(waitedMs / 1000), of: 60 }),
});
