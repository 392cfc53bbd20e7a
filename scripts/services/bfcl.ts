import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { bfclPython, repositoryRoot } from '../setup/paths.js';
import type { ServiceDefinition } from './definition.js';
import { answers } from './http.js';

const sidecarDir = join(repositoryRoot, 'activities', 'environments', 'sidecar');

/** The official BFCL simulators and checker behind HTTP. */
export const bfcl: ServiceDefinition = {
  name: 'bfcl',
  stage: 0,
  ports: [{ key: 'http', purpose: 'the BFCL sidecar', variable: 'SEEUPO_BFCL_PORT', from: 18_700 }],
  readyWithinMs: 90_000,
  graceMs: 5_000,

  async command({ dataDir, port }) {
    return {
      file: bfclPython,
      args: [join(sidecarDir, 'server.py'), '--environment', 'bfcl-windows', '--host', '127.0.0.1', '--port', String(port('bfcl'))],
      // The package writes below its project root, by default its own installation. -B's effect keeps the checkout clean.
      env: { BFCL_PROJECT_ROOT: join(dataDir, 'bfcl'), PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' },
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
    await mkdir(join(dataDir, 'bfcl'), { recursive: true });
  },

  isHealthy: ({ port }) => answers(`http://127.0.0.1:${port('bfcl')}/healthz`),
};
