import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isRunning, type ProcessIdentity } from '../setup/process-identity.js';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Added to the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
}

/** Settings of the user's own that would send our processes elsewhere, or with other credentials. */
const FOREIGN_SETTINGS =
  /^(AWS_(PROFILE|SESSION_TOKEN|ENDPOINT_URL.*|DEFAULT_PROFILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE)|(SEEUPO_)?TEMPORAL_.*|VGW_.*)$/;

const LOG_LIMIT_BYTES = 20e6;

/**
 * Starts a process in a session of its own: Ctrl-C in the terminal reaches its supervisor only, which stops it in
 * order, and it outlives a supervisor that is killed, to be found again through its record.
 */
export async function spawnLogged(
  command: Command,
  cwd: string,
  logFile: string,
): Promise<{ child: ChildProcess; identity: ProcessIdentity }> {
  await mkdir(dirname(logFile), { recursive: true });
  if (((await stat(logFile).catch(() => undefined))?.size ?? 0) > LOG_LIMIT_BYTES)
    await rename(logFile, `${logFile}.1`);
  const log = openSync(logFile, 'a');
  try {
    const inherited = Object.entries(process.env).filter(([name]) => !FOREIGN_SETTINGS.test(name));
    const child = spawn(command.file, command.args, {
      cwd,
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...Object.fromEntries(inherited), ...command.env },
    });
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    const pid = child.pid ?? 0;
    // Undefined if it has died already: an identity that never matches says the same.
    return { child, identity: (await identify(pid)) ?? { pid, started: 'died at once' } };
  } finally {
    closeSync(log);
  }
}

/** Asks a process group to end, and ends it after the grace. Returns when nothing of it is left. */
export async function terminate(identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (await isRunning(identity)) {
    signalGroup(identity.pid, 'SIGTERM');
    for (const deadline = Date.now() + graceMs; Date.now() < deadline && (await isRunning(identity)); ) await sleep(30);
    while (await isRunning(identity)) {
      signalGroup(identity.pid, 'SIGKILL');
      await sleep(30);
    }
    signalGroup(identity.pid, 'SIGKILL'); // children the leader left behind
  }
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The last lines of a log, indented, for an error message. */
export async function tailOf(logFile: string, lines = 12): Promise<string> {
  const file = await open(logFile).catch(() => undefined);
  if (file === undefined) return '    (no log)';
  try {
    const { size } = await file.stat();
    const length = Math.min(size, 8_192);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer
      .toString()
      .trimEnd()
      .split('\n')
      .slice(-lines)
      .map((line) => `    ${line}`)
      .join('\n');
  } finally {
    await file.close();
  }
}
