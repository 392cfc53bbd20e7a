import { Script } from 'node:vm';

/** The work did not give the thread back in time. */
export class Endless extends Error {
  constructor(readonly timeoutMs: number) {
    super(`did not give the thread back within ${timeoutMs} ms: is there a loop without an end?`);
  }
}

const WORK = Symbol.for('seeupo.interruptible');
const holder = globalThis as { [WORK]?: () => unknown };
const script = new Script("globalThis[Symbol.for('seeupo.interruptible')]()");

/**
 * Calls `work`, and ends it if it does not return in time: a loop without an end in an author's function would hold up the
 * whole worker, which no timer could end. What an async function does after its first `await` is out of reach.
 *
 * @throws {Endless}, or what `work` throws
 */
export function interruptible<R>(timeoutMs: number, work: () => R): R {
  const outer = holder[WORK];
  holder[WORK] = work;
  try {
    return script.runInThisContext({ timeout: Math.ceil(timeoutMs) }) as R;
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw new Endless(timeoutMs);
    throw error;
  } finally {
    if (outer) holder[WORK] = outer;
    else delete holder[WORK];
  }
}
