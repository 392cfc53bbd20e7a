import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sidecarCommand } from './sidecar-command.js';

export interface SidecarProcess {
  readonly url: string;
  readonly pid: number;
  /** Resident set, in bytes. */
  memory(): number;
  /** SIGKILL, waits until it is gone, and removes its folder. */
  kill(): Promise<void>;
}

/**
 * A sidecar of one's own, for commands that kill it.
 *
 * @param port       0 takes a free one
 * @param moreArgs   of server.py
 */
export async function startSidecarProcess(
  environment: string,
  port = 0,
  moreArgs: readonly string[] = [],
): Promise<SidecarProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'seeupo-sidecar-'));
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  const { file, args, env } = sidecarCommand(environment, port, folder);
  const child = spawn(file, [...args, ...moreArgs], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    await removeFolder();
  };
  await once(child, 'spawn').catch(async (error: Error) => {
    await removeFolder();
    throw new Error(`the sidecar of ${environment} could not be started: ${error.message}; run \`npm run setup\``);
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listening on (\S+)/.exec(line)?.[1];
    if (url === undefined) continue;
    return {
      url,
      pid: child.pid!,
      kill,
      memory: () => 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0),
    };
  }
  await kill();
  throw new Error(`the sidecar of ${environment} ended before it listened; its error output is above`);
}
