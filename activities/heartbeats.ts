import { CancelledFailure, Context } from '@temporalio/activity';

/** Progress of a long step, sent as heartbeat details, which the Web UI shows. */
export interface Progress {
  readonly phase: string;
  readonly done: number;
  readonly of: number;
}

/**
 * Records progress. Throws CancelledFailure once the activity is cancelled, so that a computation that reports between
 * tensor operations stops there. Fits `OnProgress` of policy/policy.ts.
 */
export type Report = (progress: Progress) => void;

/** Runs work while heartbeats are sent; passes it the function that reports progress, and the cancellation signal. */
export type WithHeartbeats = <R>(work: (report: Report, cancelled: AbortSignal) => Promise<R>) => Promise<R>;

/** Well under the heartbeat timeout of 30 s in activity-proxies: two lost heartbeats cause no timeout. */
const INTERVAL_MS = 5_000;

/**
 * Heartbeats on a timer of the main thread, which never blocks (tensors live in a worker thread),
 * with the latest progress as details. A cancellation arrives as the response to a heartbeat.
 *
 * @throws {CancelledFailure} when the activity is cancelled, whatever error the interrupted work threw
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
    // An error thrown by `report` may arrive here as another one, e.g. after it crossed a thread.
    throw cancellation ?? failure;
  } finally {
    clearInterval(timer);
  }
};

/** Adds heartbeats to activities that report no progress, so that the death of their worker is noticed early. */
export const withHeartbeating = <A extends Record<string, (...input: never[]) => Promise<unknown>>>(
  heartbeats: WithHeartbeats,
  activities: A,
): A =>
  Object.fromEntries(
    Object.entries(activities).map(([name, activity]) => [
      name,
      (...input: never[]) => heartbeats(() => activity(...input)),
    ]),
  ) as A;

/** For tests and scripts: runs the work and discards its progress. */
export const withoutHeartbeats: WithHeartbeats = (work) => work(() => {}, new AbortController().signal);

/** Options for waiting until an environment answers: shows the wait as progress, and ends it with the activity. */
export const waitOptions = (report: Report, signal: AbortSignal) => ({
  signal,
  onWait: ({ waitedMs }: { readonly waitedMs: number }) =>
    report({ phase: 'wait for the environment', done: Math.round(waitedMs / 1000), of: 60 }),
});
