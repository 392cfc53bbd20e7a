import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Component, Step } from './component.js';
import {
  appworldCache,
  appworldPython,
  appworldSmallWorld,
  bfclPython,
  inRuntime,
  inSetUpSources,
  lintersPython,
  openenvPython,
  referencePython,
} from './paths.js';
import { emptyTemporary, makeVirtualEnvironment, type PythonEnvironment } from './pip.js';
import { runCommand } from './run-command.js';
import { moveIntoPlace, readStamp, writeStamp } from './stamp.js';

interface Environment {
  readonly name: PythonEnvironment;
  readonly title: string;
  readonly diskBytes: number;
  readonly python: string;
  /** Imported once after the install, as proof that it is whole. */
  readonly imports: string;
  /** What else belongs to it, made with its Python between the packages and the import. */
  readonly prepare?: (step: Step) => Promise<void>;
  /** Files of the set-up sources that `prepare` runs. */
  readonly sources?: readonly string[];
}

/** What is imported now is compiled for later, whatever the person's shell says: AppWorld then loads in half the time. */
const compiling = { PYTHONDONTWRITEBYTECODE: '' };

function environment({ name, title, diskBytes, python, imports, prepare, sources = [] }: Environment): Component {
  // The pins are the version: a change of one makes a new environment.
  const version = async () => {
    const hash = createHash('sha256');
    for (const file of [join('requirements', `${name}.txt`), ...sources])
      hash.update(await readFile(inSetUpSources(file)));
    return hash.digest('hex');
  };
  return {
    name,
    title,
    lane: 'registry',
    after: [],
    prerequisites: async () => ['python'],
    diskBytes,

    async isThere() {
      const [stamp, wanted] = await Promise.all([readStamp(name), version()]);
      // stat follows the link to the interpreter: a Python upgrade of the system can leave it dangling.
      return stamp?.version === wanted && (await stat(python).catch(() => undefined)) !== undefined;
    },

    async install(step) {
      await makeVirtualEnvironment(name, step);
      await prepare?.(step);
      step.progress(0.9, 'import');
      await runCommand(python, ['-c', imports], {
        purpose: `importing the packages of the ${name} Python environment`,
        log: name,
        cwd: inRuntime(),
        env: compiling,
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

/** What `npm run lint` looks at Python code with. Never part of a run. */
export const lint = environment({
  name: 'lint',
  title: 'Linter of Python code (ruff 0.17.6)',
  diskBytes: 60e6,
  python: lintersPython,
  imports: 'import ruff',
});

const BUILDER = join('appworld', 'build_small_world.py');

/** The engine, whose protected part `appworld install` unpacks from the wheel, and a small world made with it. The official data is the user's to download. */
export const appworld = environment({
  name: 'appworld',
  title: 'AppWorld engine (appworld 0.1.3.post1)',
  diskBytes: 400e6,
  python: appworldPython,
  imports: 'import appworld.environment, appworld.evaluator',
  sources: [BUILDER],

  async prepare(step) {
    const env = { APPWORLD_CACHE: appworldCache, PYTHONHASHSEED: '0', ...compiling };
    step.progress(0.6, 'unpacking apps');
    await runCommand(appworldPython, ['-m', 'appworld.cli', 'install'], {
      purpose: 'unpacking the apps of AppWorld',
      log: 'appworld',
      cwd: inRuntime(),
      env,
    });
    step.progress(0.7, 'small world');
    const root = await emptyTemporary('appworld-small-world');
    await runCommand(appworldPython, [inSetUpSources(BUILDER)], {
      purpose: 'building the small world of AppWorld',
      log: 'appworld',
      cwd: root,
      env: { ...env, APPWORLD_ROOT: root },
    });
    await moveIntoPlace(root, appworldSmallWorld);
  },
});
