import { existsSync } from 'node:fs';
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
  const inodes = await listenersOf(port);
  for (const pid of await processes()) {
    if (!(await hasSocket(pid, inodes))) continue;
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    return `process ${pid} (${name.trim()})`;
  }
  return undefined;
}

/**
 * Whether a process, or one of the session that it leads, listens on a port; true where the kernel's tables cannot be
 * read (no Linux), because then nothing speaks against it.
 */
export async function listensOn(leader: number, port: number): Promise<boolean> {
  const inodes = await listenersOf(port);
  if (!existsSync('/proc/net/tcp') || (await hasSocket(String(leader), inodes))) return true;
  for (const pid of await processes()) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const session = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]; // field 6 of proc(5)
    if (session === String(leader) && (await hasSocket(pid, inodes))) return true;
  }
  return false;
}

/** Inodes of the sockets that listen on a port. */
async function listenersOf(port: number): Promise<ReadonlySet<string>> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')),
  );
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const LISTEN = '0A';
  const rows = tables
    .join('\n')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return new Set(
    rows.filter((fields) => fields[1]?.endsWith(`:${hexPort}`) && fields[3] === LISTEN).map((fields) => fields[9]!),
  );
}

const processes = async (): Promise<string[]> =>
  (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));

async function hasSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  if (inodes.size === 0) return false;
  for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
    if (target.startsWith('socket:[') && inodes.has(target.slice('socket:['.length, -1))) return true;
  }
  return false;
}
