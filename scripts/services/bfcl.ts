import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { bfclPython, repositoryRoot } from '../setup/paths.js';
import type { ServiceDefinition } from './definition.js';
import { answers } from './http.js';

const sidecarDir = join(repositoryRoot, 'activities', 'environments', 'sidecar');

/** The official BFCL simulators and checker behind HTTP. */
const sidecar = (name: string, environment: string, ports: ServiceDefinition['ports']): ServiceDefinition => ({
  name,
  stage: 0,
  ports,
  readyWithinMs: 90_000,
  graceMs: 5_000,

  async command({ dataDir, port }) {
    return {
      file: bfclPython,
      args: [join(sidecarDir, 'server.py'), '--environment', environment, '--host', '127.0.0.1', '--port', String(port(name))],
      // The package writes below its project root, by default its own installation. -B's effect keeps the checkout clean.
      env: { BFCL_PROJECT_ROOT: join(dataDir, name), PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' },
    };
  },

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
export const bfcl = sidecar('bfcl', 'bfcl-windows', [{ key: 'http', purpose: 'the BFCL sidecar', variable: 'SEEUPO_BFCL_PORT', from: 18_700 }]);

/** BFCL v4 multi-turn whole. */
export const bfclFull = sidecar('bfcl-full', 'bfcl', [{ key: 'http', purpose: 'the sidecar of all of BFCL multi-turn', variable: 'SEEUPO_BFCL_FULL_PORT', from: 18_710 }]);
