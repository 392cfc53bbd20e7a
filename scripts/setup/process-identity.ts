import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** A process, told apart from a later one that was given the same id. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque: boot and clock tick of its start on Linux, the start date of `ps` elsewhere. */
  readonly started: string;
}

/** Who runs under this id now; undefined if nobody, or only a zombie that its parent has not collected. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const started = process.platform === 'linux' ? await startOnLinux(pid) : await startFromPs(pid);
  return started === undefined ? undefined : { pid, started };
}

export async function isRunning(known: ProcessIdentity): Promise<boolean> {
  return (await identify(known.pid))?.started === known.started;
}

export async function thisProcess(): Promise<ProcessIdentity> {
  return (await identify(process.pid)) ?? { pid: process.pid, started: 'unknown' };
}

let bootId: Promise<string> | undefined;

async function startOnLinux(pid: number): Promise<string | undefined> {
  bootId ??= readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'boot');
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The second field is the command in brackets and may itself hold spaces and brackets.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields?.[0];
  const startTick = fields?.[19]; // field 22 of proc(5)
  if (startTick === undefined || state === 'Z' || state === 'X') return undefined;
  return `${(await bootId).trim()}/${startTick}`;
}

async function startFromPs(pid: number): Promise<string | undefined> {
  const found = await promisify(execFile)('ps', ['-o', 'stat=,lstart=', '-p', String(pid)]).catch(() => undefined);
  const line = found?.stdout.trim();
  if (line === undefined || line === '' || line.startsWith('Z')) return undefined;
  return line.replace(/^\S+\s+/, '');
}
