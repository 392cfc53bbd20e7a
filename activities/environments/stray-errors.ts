import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate } from 'node:timers/promises';

/** Of whom an error that nobody catches is the fault: an episode whose author's code is at work. */
export interface Culprit {
  /** For messages. */
  readonly name: string;
  /** The first such error. */
  stray: { readonly error: unknown } | null;
  /** Nobody will look at `stray` any more. */
  over: boolean;
}

const atWork = new AsyncLocalStorage<Culprit>();
/** Errors that came when their episode was over, the first few. */
const late: string[] = [];
const MAX_LATE = 20;
let installed = false;

/**
 * Runs the author's code. A promise that it forgets, or an exception in a timer of its own, would end the whole process; it
 * becomes the culprit's `stray` instead. What is nobody's still ends the process, as without this.
 */
export function onBehalfOf<R>(culprit: Culprit, work: () => R): R {
  if (!installed) {
    installed = true;
    process.on('unhandledRejection', (error) => {
      if (!blamed(error) && process.listenerCount('unhandledRejection') === 1) throw error;
    });
    process.on('uncaughtException', uncaught);
  }
  return atWork.run(culprit, work);
}

/** The culprit's stray error, once those that are on their way have come. */
export async function strayOf(culprit: Culprit): Promise<Culprit['stray']> {
  await setImmediate();
  return culprit.stray;
}

/** Errors that came too late for their episode; the list is emptied. */
export const lateErrors = (): string[] => late.splice(0);

function blamed(error: unknown): boolean {
  const culprit = atWork.getStore();
  if (!culprit) return false;
  culprit.stray ??= { error };
  if (culprit.over) {
    const said = `${culprit.name}: after its end, a promise or a timer that nobody waits for failed: ${String((error as Error | null)?.message ?? error)}`;
    if (late.length < MAX_LATE) late.push(said);
    process.emitWarning(said, 'EnvironmentFault');
  }
  return true;
}

function uncaught(error: Error): void {
  if (blamed(error) || process.listenerCount('uncaughtException') > 1) return;
  process.off('uncaughtException', uncaught);
  process.nextTick(() => {
    throw error;
  });
}
