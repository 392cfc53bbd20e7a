import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';

type Activity = (...input: never[]) => Promise<unknown>;

/** What a step's input may say about where in a run it is. */
interface Placed {
  readonly run?: { readonly runId?: unknown };
  readonly iteration?: unknown;
  readonly turn?: unknown;
  readonly shard?: unknown;
}

/**
 * Logs the start and the end of every activity, each with its run, iteration, turn, shard and attempt, so that one
 * run's lines can be picked out of a worker's log.
 *
 * @param measure  more to log at the end, e.g. memory; what it throws is not the step's failure
 */
export function withStepLog<A extends Record<string, Activity>>(
  log: Logger,
  activities: A,
  measure: () => Promise<object> = async () => ({}),
): A {
  const wrap =
    (step: string, activity: Activity): Activity =>
    async (...input) => {
      const place = { step, ...placeOf(input[0]) };
      const began = performance.now();
      log.info(place, 'step started');
      const ended = async (how: object, message: string): Promise<void> => {
        const measured = await measure().catch(() => ({}));
        log.info({ ...place, seconds: Math.round(performance.now() - began) / 1000, ...measured, ...how }, message);
      };
      try {
        const result = await activity(...input);
        await ended({}, 'step finished');
        return result;
      } catch (error) {
        await ended({ reason: (error as Error).message }, 'step failed');
        throw error;
      }
    };
  return Object.fromEntries(Object.entries(activities).map(([name, activity]) => [name, wrap(name, activity)])) as A;
}

/** Steps of a run name it in their input; those before there is one are known by their workflow, whose id begins with it. */
function placeOf(input: unknown): object {
  const { run, iteration, turn, shard } = (typeof input === 'object' && input !== null ? input : {}) as Placed;
  const { workflowExecution, attempt } = Context.current().info;
  const workflow = workflowExecution?.workflowId;
  return {
    run: typeof run?.runId === 'string' ? run.runId : workflow,
    workflow,
    attempt,
    ...(typeof iteration === 'number' && { iteration }),
    ...(typeof turn === 'number' && { turn }),
    ...(typeof shard === 'number' && { shard }),
  };
}
