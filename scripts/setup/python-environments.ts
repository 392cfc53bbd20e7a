import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Component } from './component.js';
import { bfclPython, inRuntime, inSetUpSources, openenvPython, referencePython } from './paths.js';
import { makeVirtualEnvironment, type PythonEnvironment } from './pip.js';
import { runCommand } from './run-command.js';
import { readStamp, writeStamp } from './stamp.js';

interface Environment {
  readonly name: PythonEnvironment;
  readonly title: string;
  readonly diskBytes: number;
  readonly python: string;
  /** Imported once after the install, as proof that it is whole. */
  readonly imports: string;
}

function environment({ name, title, diskBytes, python, imports }: Environment): Component {
  const requirements = inSetUpSources('requirements', `${name}.txt`);
  // The pins are the version: a change of one makes a new environment.
  const version = async () => createHash('sha256').update(await readFile(requirements)).digest('hex');
  return {
    name, title, lane: 'registry', after: [], prerequisites: async () => ['python'], diskBytes,

    async isThere() {
      const [stamp, wanted] = await Promise.all([readStamp(name), version()]);
      // stat follows the link to the interpreter: a Python upgrade of the system can leave it dangling.
      return stamp?.version === wanted && (await stat(python).catch(() => undefined)) !== undefined;
    },

    async install(step) {
      await makeVirtualEnvironment(name, step);
      step.progress(0.9, 'import');
      await runCommand(python, ['-c', imports], {
        purpose: `importing the packages of the ${name} Python environment`, log: name, cwd: inRuntime(),
      });
      await writeStamp(name, { version: await version(), files: {} });
    },
  };
}

/** The official Berkeley Function Calling Leaderboard package, in an environment of its own for the sidecar. */
export const bfcl = environment({
  name: 'bfcl',
  title: 'BFCL v4 (bfcl_eval 2026.3.23)',
  diskBytes: 120e6,
  python: bfclPython,
  imports: 'import bfcl_eval, mpmath, filelock',
});

/** PyTorch and transformers: the independent oracle that numeric fixtures are generated with. Never part of a run. */
export const reference = environment({
  name: 'reference',
  title: 'PyTorch and transformers (reference for fixtures)',
  diskBytes: 12e9,
  python: referencePython,
  imports: 'import torch, transformers, gguf, safetensors',
});

/** OpenEnv's server package: what its client is tested against. Never part of a run. */
export const openenv = environment({
  name: 'openenv',
  title: 'OpenEnv server (openenv-core 0.3.0, for tests)',
  diskBytes: 300e6,
  python: openenvPython,
  imports: 'import openenv.core.env_server.http_server',
});
