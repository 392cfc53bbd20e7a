import { mkdir, open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, thisProcess, type ProcessIdentity } from './process-identity.js';

/**
 * Runs `work` while holding a lock file; others wait, and a lock whose holder has died is taken over.
 *
 * The holder is known by process id and start time, so a recycled id is not mistaken for it.
 */
export async function withLock<T>(path: string, work: () => Promise<T>, onWait?: (holder: number) => void): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  let waiting = false;
  for (let torn = 0; !(await take(path)); ) {
    const holder = await readHolder(path);
    // Unreadable: released this instant, or being written this instant; a torn one does not stay unreadable for long.
    torn = holder === undefined ? torn + 1 : 0;
    if (torn > 50 || (holder !== undefined && !(await isRunning(holder)))) {
      await unlink(path).catch(() => undefined);
      continue;
    }
    if (!waiting && holder !== undefined) {
      waiting = true;
      onWait?.(holder.pid);
    }
    await sleep(waiting ? 200 : 20);
  }
  try {
    return await work();
  } finally {
    await unlink(path).catch(() => undefined);
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(JSON.stringify(await thisProcess()));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function readHolder(path: string): Promise<ProcessIdentity | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}
