import { readFile, readdir, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import getPort, { portNumbers } from 'get-port';
import { ServiceError } from './service-error.js';

/** One port that a service listens on. */
export interface PortNeed {
  readonly key: string;
  /** For messages: "the Temporal Web UI". */
  readonly purpose: string;
  /** The environment variable by which a person fixes it. */
  readonly variable: string;
  /** Where the search for a free one starts: the usual port plus 10000, to leave the usual one to the user's own. */
  readonly from: number;
}

const HOST = '127.0.0.1';

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: HOST, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/**
 * The port to use: the one a person fixed, else the one used before if it is free, else a free one.
 *
 * @param isolated  an instance beside the usual one (tests): fixed ports are not for it, and any free port will do
 * @throws {ServiceError} if a fixed port is no number or is taken, with its holder where that can be found out
 */
export async function choosePort(need: PortNeed, before: number | undefined, isolated: boolean): Promise<number> {
  const fixed = isolated ? undefined : fixedPort(need);
  if (fixed !== undefined) {
    if (await isFree(fixed)) return fixed;
    const holder = await holderOf(fixed);
    throw new ServiceError(
      `port ${fixed}, which ${need.variable} fixes for ${need.purpose}, is in use${holder === undefined ? '' : ` by ${holder}`}: ` +
        `stop that, set ${need.variable} to another port, or unset it to have a free one chosen`,
    );
  }
  if (before !== undefined && (await isFree(before))) return before;
  return getPort({ host: HOST, ...(isolated ? {} : { port: portNumbers(need.from, need.from + 99) }) });
}

export function fixedPort(need: PortNeed): number | undefined {
  const text = process.env[need.variable];
  if (text === undefined || text === '') return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new ServiceError(`${need.variable} is "${text}", expected a port from 1 to 65535 for ${need.purpose}`);
}

/** "process 123 (nginx)", from the kernel's tables; undefined where they cannot be read (another user's process, no Linux). */
async function holderOf(port: number): Promise<string | undefined> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')));
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const LISTEN = '0A';
  const row = tables.join('\n').split('\n').map((line) => line.trim().split(/\s+/))
    .find((fields) => fields[1]?.endsWith(`:${hexPort}`) && fields[3] === LISTEN);
  const inode = row?.[9];
  if (inode === undefined) return undefined;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      if ((await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')) !== `socket:[${inode}]`) continue;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      return `process ${pid} (${name.trim()})`;
    }
  }
  return undefined;
}
