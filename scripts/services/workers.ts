import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '../setup/paths.js';
import type { ServiceDefinition, Surroundings } from './definition.js';

/** The worker writes this file once it polls its task queue. */
const readyFile = ({ dataDir }: Surroundings, name: string) => join(dataDir, 'ready', name);

/** The worker renews its file every two seconds, and takes it away while it hangs; a stopped process does neither. */
const READY_FILE_OLD_MS = 60_000;

/** The compiler's record changes with every change of code. */
export async function compiledVersion(): Promise<string> {
  const record = await readFile(join(repositoryRoot, 'dist', '.tsbuildinfo')).catch(() => '');
  return createHash('sha256').update(record).digest('hex');
}

function worker(
  name: string,
  program: string,
  graceMs: number,
  readyWithinMs: number,
  extra: Record<string, string>,
): ServiceDefinition {
  return {
    name,
    stage: 1,
    ports: [],
    graceMs,
    readyWithinMs,
    async command(surroundings) {
      return {
        file: process.execPath,
        args: ['--enable-source-maps', join(repositoryRoot, 'dist', 'workers', program)],
        // glibc gives every thread a heap of its own, which keeps what it once needed; a worker has dozens of threads and few that allocate.
        env: {
          MALLOC_ARENA_MAX: '2',
          ...surroundings.env(),
          ...extra,
          SEEUPO_READY_FILE: readyFile(surroundings, name),
        },
      };
    },
    codeVersion: compiledVersion,
    async beforeStart(surroundings) {
      await mkdir(join(surroundings.dataDir, 'ready'), { recursive: true });
      await rm(readyFile(surroundings, name), { force: true });
    },
    isHealthy: async (surroundings) => {
      const written = await stat(readyFile(surroundings, name)).catch(() => undefined);
      return written !== undefined && Date.now() - written.mtimeMs < READY_FILE_OLD_MS;
    },
  };
}

/** Workflows and light activities; never computes, so it stops quickly. */
export const cpuWorker = (extra: Record<string, string>): ServiceDefinition =>
  worker('cpu-worker', 'cpu-worker.js', 20_000, 90_000, extra);

/**
 * What suits a GPU worker on this machine; what is set in the environment wins. Without a GPU: bf16 if the processor has
 * units for it, and two replicas, because two cores do more each for itself than together on one matrix. Not by the
 * number of workers: replicas decide rounding, and a run must have the same bytes with more workers or fewer.
 *
 * @param cpuFlags  of Linux's /proc/cpuinfo
 */
export function suitedSettings(
  { gpu, cores, cpuFlags }: Machine,
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const suited = gpu
    ? {}
    : {
        SEEUPO_PRECISION: /\b(?:avx512_bf16|amx_bf16)\b/.test(cpuFlags) ? 'bf16' : 'fp32',
        SEEUPO_REPLICAS: cores >= 2 ? '2' : '1',
      };
  return Object.fromEntries(Object.entries(suited).map(([name, value]) => [name, environment[name] || value]));
}
export interface Machine {
  readonly gpu: boolean;
  readonly cores: number;
  readonly cpuFlags: string;
}

export async function thisMachine(): Promise<Machine> {
  const cpuinfo = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  return {
    gpu: existsSync('/dev/nvidiactl'),
    cores: availableParallelism(),
    cpuFlags: /^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1] ?? '',
  };
}

/** One process per device; a minute of grace, because it finishes or hands back the step it is in. */
export function gpuWorkers(count: number, extra: Record<string, string>): ServiceDefinition[] {
  return Array.from({ length: count }, (_, device) => {
    const [name, visible] =
      count === 1 ? ['gpu-worker', {}] : [`gpu-worker-${device}`, { CUDA_VISIBLE_DEVICES: String(device) }];
    const definition = worker(name, 'gpu-worker.js', 60_000, 180_000, extra);
    return {
      ...definition,
      async command(surroundings: Surroundings) {
        const command = await definition.command(surroundings);
        return { ...command, env: { ...suitedSettings(await thisMachine(), process.env), ...visible, ...command.env } };
      },
    };
  });
}
