import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { runtimeDir } from './paths.js';
import { SetUpError } from './set-up-error.js';

export type Prerequisite = 'linux' | 'python' | 'compiler' | 'go';

const run = promisify(execFile);
const GIB = 2 ** 30;

/** The interpreter set-up uses. SEEUPO_PYTHON names another one, where python3 is too old. */
export const python: string = process.env.SEEUPO_PYTHON ?? 'python3';

async function output(file: string, ...args: string[]): Promise<string | undefined> {
  const result = await run(file, args, { timeout: 30_000 }).catch(() => undefined);
  return result === undefined ? undefined : `${result.stdout}${result.stderr}`;
}

const atLeast = (text: string | undefined, major: number, minor: number): boolean => {
  const found = /(\d+)\.(\d+)/.exec(text ?? '');
  return found !== null && (Number(found[1]) > major || (Number(found[1]) === major && Number(found[2]) >= minor));
};

function install(apt: string, brew: string): string {
  if (process.platform === 'darwin') return brew;
  if (existsSync('/usr/bin/apt-get')) return `sudo apt-get install -y ${apt}`;
  return `with the system's package manager (Debian and Ubuntu call it: ${apt})`;
}

/** Each check gives undefined, or one line: what is missing, and the command that installs it. */
const checks: Record<Prerequisite, () => Promise<string | undefined>> = {
  linux: async () => {
    if (process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64')) return undefined;
    return `TensorFlow for Node runs here on Linux (x64, arm64), found ${process.platform} ${process.arch}: use WSL 2 or a Linux container`;
  },

  python: async () => {
    const version = await output(python, '--version');
    if (!atLeast(version, 3, 10)) {
      return (
        `Python 3.10 or newer (found ${version?.trim() ?? `no ${python}`}): ` +
        `${install('python3 python3-pip python3-venv', 'brew install python')}, or set SEEUPO_PYTHON to a newer one`
      );
    }
    // Debian ships pip and venv as packages of their own; ensurepip is what venv lacks there.
    const [pip, venv] = await Promise.all([
      output(python, '-m', 'pip', '--version'),
      output(python, '-c', 'import venv, ensurepip'),
    ]);
    const missing = [...(pip === undefined ? ['pip'] : []), ...(venv === undefined ? ['venv'] : [])];
    if (missing.length === 0) return undefined;
    const packages = missing.map((part) => `python3-${part}`).join(' ');
    return `Python's ${missing.join(' and ')}: ${install(packages, 'brew reinstall python')}`;
  },

  compiler: async () => {
    const [compiler, make] = await Promise.all([
      output(process.env.CXX ?? 'g++', '--version'),
      output('make', '--version'),
    ]);
    const missing = [...(compiler === undefined ? ['a C++ compiler'] : []), ...(make === undefined ? ['make'] : [])];
    if (missing.length === 0) return undefined;
    return `${missing.join(' and ')}: ${install('g++ make', 'xcode-select --install')}`;
  },

  go: async () => {
    const version = await output('go', 'version');
    if (atLeast(version?.replace(/^.*go(\d)/, '$1'), 1, 24)) return undefined;
    return `Go 1.24 or newer (found ${version?.trim() ?? 'no go'}): ${install('golang-go', 'brew install go')}, or see https://go.dev/dl`;
  },
};

/**
 * Looks for everything the missing components will need, before any of them starts.
 *
 * @throws {SetUpError} naming all that is missing at once, each with the command that installs it
 */
export async function checkPrerequisites(needed: readonly Prerequisite[], diskBytes: number): Promise<void> {
  const found = await Promise.all([...new Set(needed)].map((name) => checks[name]()));
  const missing = [...found, await checkDisk(diskBytes)].filter((line) => line !== undefined);
  if (missing.length > 0) {
    throw new SetUpError(['set-up needs:', ...missing.map((line) => `  - ${line}`)].join('\n'));
  }
}

async function checkDisk(bytes: number): Promise<string | undefined> {
  await mkdir(runtimeDir, { recursive: true });
  const disk = await statfs(runtimeDir);
  const free = disk.bavail * disk.bsize;
  if (free >= bytes) return undefined;
  return (
    `${(bytes / GIB).toFixed(1)} GiB of free disk for ${runtimeDir} (found ${(free / GIB).toFixed(1)} GiB): ` +
    'free some, or set SEEUPO_RUNTIME_DIR to a folder on another disk'
  );
}
