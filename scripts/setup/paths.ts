import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/**
 * The root of the checkout. Found by walking up rather than counted in `..`, because the same
 * file runs compiled (dist/scripts/setup/) and is read as source (scripts/setup/).
 */
export const repositoryRoot: string = (() => {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package-lock.json'))) {
    const parent = dirname(directory);
    if (parent === directory) {
      throw new Error(`no package-lock.json above ${import.meta.dirname}: run from a checkout of this repository`);
    }
    directory = parent;
  }
  return directory;
})();

/** Everything set-up makes and every run writes: `.runtime/`, or SEEUPO_RUNTIME_DIR (a cache kept between fresh clones). */
export const runtimeDir: string = process.env.SEEUPO_RUNTIME_DIR
  ? resolve(process.env.SEEUPO_RUNTIME_DIR)
  : join(repositoryRoot, '.runtime');

/** A path below the runtime folder. */
export const inRuntime = (...parts: string[]): string => join(runtimeDir, ...parts);

/** A file that set-up reads and does not compile: go.mod, requirements. They stay in the source tree. */
export const inSetUpSources = (...parts: string[]): string => join(repositoryRoot, 'scripts', 'setup', ...parts);

export const logDir: string = inRuntime('logs');
export const modelsDir: string = inRuntime('models');
export const bfclPython: string = inRuntime('venvs', 'bfcl', 'bin', 'python');
export const referencePython: string = inRuntime('venvs', 'reference', 'bin', 'python');
export const openenvPython: string = inRuntime('venvs', 'openenv', 'bin', 'python');
export const lintersPython: string = inRuntime('venvs', 'lint', 'bin', 'python');
/** The linter and formatter of Python code. */
export const ruff: string = inRuntime('venvs', 'lint', 'bin', 'ruff');
export const appworldPython: string = inRuntime('venvs', 'appworld', 'bin', 'python');
/** The engine's cache, by default in the user's home. */
export const appworldCache: string = inRuntime('appworld', 'cache');
/** An AppWorld root with a `data` of our own: what tests and checks play where there is no downloaded one. */
export const appworldSmallWorld: string = inRuntime('appworld', 'small-world');
