import { EventEmitter, once } from 'node:events';
import type { ActivitySlotInfo, CustomSlotSupplier } from '@temporalio/worker';
import type { GpuActivityName } from '../activities/gpu-activity-names.js';

/** Steps after which a worker holds weights, and their moments, that no other has; the next step of the kind is asked of it first. */
const LEAVES_WEIGHTS: ReadonlySet<string> = new Set<GpuActivityName>(['updateTurn', 'applyGradients']);
/** Of these, the one that is followed by its like at once: until that has come, the shared queue is not asked. */
const GIVES_HEAD_START: GpuActivityName = 'updateTurn';
/** Longer than a workflow near by takes to schedule a step; the first rollout of an iteration waits for the rest of it. */
const HEAD_START_MS = 200;

type Activity = (...input: never[]) => Promise<unknown>;

/** A task came to the worker's own queue while the device is at work for another run: whoever is free should have it. */
export class WorkerBusy extends Error {
  override readonly name = 'WorkerBusy';
}

/**
 * The one device of a worker process, which takes tasks from two queues: the one that all GPU workers share, and its
 * own, for steps that go on from the weights which it holds. One task at a time, whichever queue it is from.
 */
export class Device {
  private readonly changes = new EventEmitter();
  private working = false;
  /** A poll of the shared queue is under way, or its task. */
  private polling = false;
  private sharedFrom = 0;

  constructor(private readonly headStartMs = HEAD_START_MS) {
    this.changes.setMaxListeners(0);
  }

  /** Asks the shared queue for a task only when the device has none, and has had no update just now. */
  readonly shared: CustomSlotSupplier<ActivitySlotInfo> = {
    type: 'custom',
    reserveSlot: async (_, signal) => {
      await this.until(() => !this.polling && !this.working && performance.now() >= this.sharedFrom, signal);
      this.polling = true;
      return {};
    },
    tryReserveSlot: () => null,
    markSlotUsed: () => undefined,
    releaseSlot: () => {
      this.polling = false;
      this.changes.emit('change');
    },
  };

  /** Activities of the shared queue. A task that came with a poll from before the device was taken waits. */
  waiting<A extends Record<string, Activity>>(
    activities: A,
    whileWaiting: (wait: () => Promise<void>) => Promise<void>,
  ): A {
    return this.each(activities, (name, activity) => async (...input) => {
      while (this.working) await whileWaiting(() => this.until(() => !this.working));
      return this.work(name, () => activity(...input));
    });
  }

  /** Activities of the worker's own queue. */
  refusing<A extends Record<string, Activity>>(activities: A): A {
    return this.each(activities, (name, activity) => async (...input) => {
      if (this.working)
        throw new WorkerBusy(
          `${name}: the device of this worker is at work for another step; the shared queue takes this one`,
        );
      return this.work(name, () => activity(...input));
    });
  }

  private each<A extends Record<string, Activity>>(
    activities: A,
    wrap: (name: string, activity: Activity) => Activity,
  ): A {
    return Object.fromEntries(Object.entries(activities).map(([name, activity]) => [name, wrap(name, activity)])) as A;
  }

  private async work(name: string, activity: () => Promise<unknown>): Promise<unknown> {
    this.working = true;
    try {
      return await activity();
    } finally {
      this.working = false;
      if (name === GIVES_HEAD_START) {
        this.sharedFrom = performance.now() + this.headStartMs;
        setTimeout(() => this.changes.emit('change'), this.headStartMs + 1);
      }
      this.changes.emit('change');
    }
  }

  private async until(holds: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!holds()) {
      await once(this.changes, 'change', { ...(signal && { signal }) }).catch((error: unknown) => {
        throw signal?.aborted ? signal.reason : error;
      });
    }
  }
}

/** Lets the results of such steps name the queue on which the worker is asked first for the next one. */
export function naming<A extends Record<string, Activity>>(queue: string, activities: A): A {
  const named = Object.entries(activities).map(([name, activity]): [string, Activity] => [
    name,
    LEAVES_WEIGHTS.has(name)
      ? async (...input) => ({ ...((await activity(...input)) as object), warm: queue })
      : activity,
  ]);
  return Object.fromEntries(named) as A;
}
