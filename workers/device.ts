import { EventEmitter, once } from 'node:events';
import type { ActivitySlotInfo, CustomSlotSupplier } from '@temporalio/worker';
import type { GpuActivityName } from '../activities/gpu-activity-names.js';

/**
 * Steps after which this worker alone holds the new weights and moments, so that the next such step goes to it first.
 */
const LEAVES_WEIGHTS: ReadonlySet<string> = new Set<GpuActivityName>(['updateTurn', 'applyGradients']);
/** The step that is usually followed by another one at once: for a short time the shared queue is not polled. */
const GIVES_HEAD_START: GpuActivityName = 'updateTurn';
/** Longer than a workflow in the same network needs to schedule the next step; it delays other tasks by no more. */
const HEAD_START_MS = 200;

type Activity = (...input: never[]) => Promise<unknown>;

/** A task arrived on the worker's own (sticky) queue while its device was busy: a free worker should take it. */
export class WorkerBusy extends Error {
  override readonly name = 'WorkerBusy';
}

/**
 * The device of a worker process, which takes tasks from two queues: the one that all GPU workers share, and its own
 * (sticky) queue for steps that continue from the weights that it holds. It does one task at a time.
 */
export class Device {
  private readonly changes = new EventEmitter();
  private working = false;
  /** The shared queue is being polled, or a task of it is running. */
  private polling = false;
  private sharedFrom = 0;

  constructor(private readonly headStartMs = HEAD_START_MS) {
    this.changes.setMaxListeners(0);
  }

  /** Polls the shared queue only while the device is idle and the head start after an update is over. */
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

  /** Wraps activities of the shared queue: a task that arrives while the device is busy waits, with heartbeats. */
  queueWhileBusy<A extends Record<string, Activity>>(
    activities: A,
    whileWaiting: (wait: () => Promise<void>) => Promise<void>,
  ): A {
    return this.each(activities, (name, activity) => async (...input) => {
      while (this.working) await whileWaiting(() => this.until(() => !this.working));
      return this.work(name, () => activity(...input));
    });
  }

  /** Wraps activities of the sticky queue: a task that arrives while the device is busy fails with WorkerBusy. */
  rejectWhileBusy<A extends Record<string, Activity>>(activities: A): A {
    return this.each(activities, (name, activity) => async (...input) => {
      if (this.working)
        throw new WorkerBusy(
          `${name}: the device of this worker is busy with another step; the shared queue takes this one`,
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

/** Adds the worker's sticky queue, as `warm`, to the results of steps after which it alone holds the new weights. */
export function withStickyQueue<A extends Record<string, Activity>>(queue: string, activities: A): A {
  const named = Object.entries(activities).map(([name, activity]): [string, Activity] => [
    name,
    LEAVES_WEIGHTS.has(name)
      ? async (...input) => ({ ...((await activity(...input)) as object), warm: queue })
      : activity,
  ]);
  return Object.fromEntries(named) as A;
}
