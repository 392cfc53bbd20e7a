import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { readTextFile } from '../../activities/text-file.js';
import { differences, resolveConfig } from '../../activities/run/resolve-config.js';
import { RunId, type TrainConfig } from '../../schemas/train-config.js';
import type { QuickstartOptions } from './options.js';
import type { OwnEnvironment } from './own-environment.js';

/** The run that `npm run quickstart` picks up: kept in `.runtime/quickstart.json`. */
export const CurrentRun = z.object({
  runId: RunId,
  /** As resolved when the run was started; compared, never run from. */
  config: z.unknown(),
});
export type CurrentRun = z.infer<typeof CurrentRun>;

const FIRST_ID = 'quickstart';

/** Something a person must decide or mend; the message says what, and the command. */
export class QuickstartError extends Error {
  override readonly name = 'QuickstartError';
}

/** The current run; null if there is none, or the file does not read as one (it can be made again). */
export async function readCurrentRun(file: string): Promise<CurrentRun | null> {
  try {
    const parsed = CurrentRun.safeParse(JSON.parse(await readFile(file, 'utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** Whole or not at all: a killed process leaves the file as it was. */
export async function writeCurrentRun(file: string, run: CurrentRun): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(`${file}.new`, `${JSON.stringify(run, null, 2)}\n`);
  await rename(`${file}.new`, file);
}

/**
 * The settings of a file, with the command line's in their place and every default spelled out.
 *
 * @throws {QuickstartError} if the file is missing or no JSON
 * @throws {BadConfig} naming every wrong setting
 */
export async function readConfig(
  file: string,
  { seed, iterations }: Pick<QuickstartOptions, 'seed' | 'iterations'>,
  own: Pick<OwnEnvironment, 'settings'> | null = null,
): Promise<TrainConfig> {
  const text = await readTextFile(file).catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'ENOENT' ? 'there is no such file' : error.message;
    throw new QuickstartError(`--config ${file}: ${reason}; expected a JSON file like scripts/runs/quickstart.json`);
  });
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new QuickstartError(`--config ${file} is no JSON: ${(error as Error).message}`);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return resolveConfig(given); // which says what is wrong
  return resolveConfig({
    ...given,
    ...own?.settings(given),
    ...(seed !== null && { seed }),
    ...(iterations !== null && { iterations }),
  });
}

/** @throws {QuickstartError} if a run to be picked up was started with other settings than are asked for now */
export function refuseOtherSettings(runId: string, stored: unknown, asked: TrainConfig): void {
  const found = differences(stored, asked);
  if (found.length === 0) return;
  throw new QuickstartError(
    [
      `Run "${runId}" was started with other settings, so it is not picked up with these:`,
      ...found.map((difference) => `  ${difference}`),
      'A new run with these settings:  npm run quickstart -- --fresh (and your options)',
      'The stored run goes on with its own: leave out or undo the change.',
    ].join('\n'),
  );
}

/** `quickstart`, `quickstart-2`, ...: the first that nobody has. */
export async function firstFreeId(isTaken: (runId: string) => Promise<boolean>): Promise<string> {
  for (let n = 1; ; n++) {
    const id = n === 1 ? FIRST_ID : `${FIRST_ID}-${n}`;
    if (!(await isTaken(id))) return id;
  }
}

/** The run that is meant when no new one is asked for. */
export const pickedUpId = ({ runId }: Pick<QuickstartOptions, 'runId'>, current: CurrentRun | null): string =>
  runId ?? current?.runId ?? FIRST_ID;
