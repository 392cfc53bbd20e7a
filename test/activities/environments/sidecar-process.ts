import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { createInterface } from 'node:readline';

/** From the checkout's root, where tests run. */
export const PYTHON = '.runtime/venvs/bfcl/bin/python';
export const SIDECAR = 'activities/environments/sidecar';

/** Fails, rather than skips, where the virtual environment is missing. */
export async function requirePython(): Promise<void> {
  await access(PYTHON).catch(() => {
    throw new Error(
      `${PYTHON} is missing: run \`npm run setup\` in the checkout's root, or start the tests from there`,
    );
  });
}

export interface Sidecar {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** SIGKILL, and waits until the process is gone. */
  kill(): Promise<void>;
}

/** The real sidecar in a process of its own; port 0 takes a free one. */
export async function startSidecar(
  options: { environment?: string; port?: number; hashSeed?: string; args?: readonly string[] } = {},
): Promise<Sidecar> {
  await requirePython();
  const args = [
    `${SIDECAR}/server.py`,
    '--environment',
    options.environment ?? 'bfcl-windows',
    '--port',
    String(options.port ?? 0),
    ...(options.args ?? []),
  ];
  const child = spawn(PYTHON, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      PYTHONDONTWRITEBYTECODE: '1',
      ...(options.hashSeed === undefined ? {} : { PYTHONHASHSEED: options.hashSeed }),
    },
  });
  const url = await firstUrl(child);
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid!,
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function firstUrl(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /listening on (\S+)/.exec(line)?.[1];
    if (url) return url;
  }
  throw new Error('the sidecar ended before it listened; its error output is above');
}
