import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bfclPython, repositoryRoot } from '../setup/paths.js';

export interface SidecarProcess {
  readonly url: string;
  /** Resident set, in bytes. */
  memory(): number;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
}

/** A sidecar of one's own on a free port, for commands that kill it. */
export async function startSidecarProcess(environment: string): Promise<SidecarProcess> {
  const program = join(repositoryRoot, 'activities', 'environments', 'sidecar', 'server.py');
  const child = spawn(bfclPython, [program, '--environment', environment, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, BFCL_PROJECT_ROOT: await mkdtemp(join(tmpdir(), 'seeupo-bfcl-')), PYTHONDONTWRITEBYTECODE: '1' },
  });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listening on (\S+)/.exec(line)?.[1];
    if (url === undefined) continue;
    return { url, kill, memory: () => 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) };
  }
  throw new Error(`the sidecar of ${environment} ended before it listened; its error output is above`);
}
