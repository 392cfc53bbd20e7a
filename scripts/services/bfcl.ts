import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServiceDefinition } from './definition.js';
import { answers } from './http.js';
import { sidecarCommand, sidecarDir } from './sidecar-command.js';

/** An environment's official Python package behind HTTP. */
export const sidecar = (name: string, environment: string, ports: ServiceDefinition['ports']): ServiceDefinition => ({
  name,
  stage: 0,
  ports,
  readyWithinMs: 90_000,
  graceMs: 5_000,

  command: async ({ dataDir, port }) => sidecarCommand(environment, port(name), join(dataDir, name)),

  async codeVersion() {
    const hash = createHash('sha256');
    for (const name of (await readdir(sidecarDir)).filter((file) => /\.(py|json)$/.test(file)).sort()) {
      hash.update(name).update(await readFile(join(sidecarDir, name)));
    }
    return hash.digest('hex');
  },

  async beforeStart({ dataDir }) {
    await mkdir(join(dataDir, name), { recursive: true });
  },

  isHealthy: ({ port }) => answers(`http://127.0.0.1:${port(name)}/healthz`),
});

/** The quickstart's windows. */
export const bfcl = sidecar('bfcl', 'bfcl-windows', [
  { key: 'http', purpose: 'the BFCL sidecar', variable: 'SEEUPO_BFCL_PORT', from: 18_700 },
]);

/** BFCL v4 multi-turn whole. */
export const bfclFull = sidecar('bfcl-full', 'bfcl', [
  { key: 'http', purpose: 'the sidecar of all of BFCL multi-turn', variable: 'SEEUPO_BFCL_FULL_PORT', from: 18_710 },
]);
