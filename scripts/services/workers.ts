import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '../setup/paths.js';
import type { ServiceDefinition, Surroundings } from './definition.js';

/** The worker writes this file once it polls its task queue. */
const readyFile = ({ dataDir }: Surroundings, name: string) => join(dataDir, 'ready', name);

/** The compiler's record changes with every change of code. */
async function compiledVersion(): Promise<string> {
  const record = await readFile(join(repositoryRoot, 'dist', '.tsbuildinfo')).catch(() => '');
  return createHash('sha256').update(record).digest('hex');
}

function worker(name: string, program: string, graceMs: number, readyWithinMs: number, extra: Record<string, string>): ServiceDefinition {
  return {
    name, stage: 1, ports: [], graceMs, readyWithinMs,
    async command(surroundings) {
      return {
        file: process.execPath,
        args: ['--enable-source-maps', join(repositoryRoot, 'dist', 'workers', program)],
        env: { ...surroundings.env(), ...extra, SEEUPO_READY_FILE: readyFile(surroundings, name) },
      };
    },
    codeVersion: compiledVersion,
    async beforeStart(surroundings) {
      await mkdir(join(surroundings.dataDir, 'ready'), { recursive: true });
      await rm(readyFile(surroundings, name), { force: true });
    },
    isHealthy: async (surroundings) => existsSync(readyFile(surroundings, name)),
  };
}

/** Workflows and light activities; never computes, so it stops quickly. */
export const cpuWorker = (extra: Record<string, string>): ServiceDefinition =>
  worker('cpu-worker', 'cpu-worker.js', 20_000, 90_000, extra);

/** One process per device; a minute of grace, because it finishes or hands back the step it is in. */
export function gpuWorkers(count: number, extra: Record<string, string>): ServiceDefinition[] {
  if (count === 1) return [worker('gpu-worker', 'gpu-worker.js', 60_000, 180_000, extra)];
  return Array.from({ length: count }, (_, device) =>
    worker(`gpu-worker-${device}`, 'gpu-worker.js', 60_000, 180_000, { CUDA_VISIBLE_DEVICES: String(device), ...extra }));
}
