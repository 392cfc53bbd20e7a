import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { writeWhole } from '../setup/stamp.js';
import { named } from './faults.js';
import type { Measure, Outcome } from './trial.js';

/** A GPU worker that is killed at work is missed after the heartbeat time-out, 30 s; 10 s more to wait and begin again. */
export const RECOVERY_BAR_SECONDS = 40;

/** What the trials of a series have in common; those of another code or other settings prove nothing about these. */
const Identity = z.object({
  seed: z.int(),
  /** sha256 of the run's settings. */
  config: z.string(),
  /** Of the compiled code. */
  code: z.string(),
});
export type Identity = z.infer<typeof Identity>;

/** Outcomes of a series as a file keeps them, so that it can be interrupted and gone on with. */
export interface Series extends Identity {
  undisturbed: Measure | null;
  /** By number of the trial. */
  trials: Outcome[];
}

const Stored = Identity.extend({ undisturbed: z.custom<Measure>().nullable(), trials: z.array(z.custom<Outcome>()) });

/** Trials of the same series, of another one, or of none. */
export class OtherSeries extends Error {
  override readonly name = 'OtherSeries';
}

/**
 * The series that a file holds; an empty one if there is no such file.
 *
 * @throws {OtherSeries} if it holds another one, or is none
 */
export async function readSeries(file: string, identity: Identity): Promise<Series> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return { ...identity, undisturbed: null, trials: [] };
  const parsed = Stored.safeParse(parsedJson(text));
  if (!parsed.success)
    throw new OtherSeries(`--json ${file} is there and holds no trials: name another file, or delete it`);
  const differs = (Object.keys(identity) as (keyof Identity)[]).filter((key) => parsed.data[key] !== identity[key]);
  if (differs.length === 0) return { ...identity, undisturbed: parsed.data.undisturbed, trials: parsed.data.trials };
  throw new OtherSeries(
    `--json ${file} holds ${parsed.data.trials.length} trials of another series: ` +
      `${differs.map((key) => `${key} is ${parsed.data[key]}, here ${identity[key]}`).join('; ')}. Name another file, or delete it`,
  );
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** After each trial: an interrupted series has lost at most the one under way. */
export async function writeSeries(file: string, { seed, config, code, undisturbed, trials }: Series): Promise<void> {
  const counts = { passed: trials.filter(({ passed }) => passed).length, of: trials.length };
  const content = {
    seed,
    config,
    code,
    ...counts,
    summary: summaryOf(trials),
    undisturbed,
    trials: trials.map((outcome) => ({ ...outcome, faults: outcome.blows.map(({ fault }) => named(fault)) })),
  };
  await writeWhole(file, `${JSON.stringify(content, null, 2)}\n`);
}

/** Puts an outcome in its place; one of the same number gives way. */
export function withOutcome(trials: readonly Outcome[], outcome: Outcome): Outcome[] {
  return [...trials.filter(({ trial }) => trial !== outcome.trial), outcome].sort((a, b) => a.trial - b.trial);
}

/** What a series has shown, one line each. */
export function summaryOf(trials: readonly Outcome[]): string[] {
  const passed = trials.filter((outcome) => outcome.passed);
  const faults = trials.reduce((sum, { blows }) => sum + blows.length, 0);
  const again = trials.flatMap(({ repeated }) => repeated);
  const recoveries = trials.flatMap(({ recoverySeconds }) => recoverySeconds).sort((a, b) => a - b);
  const failed = trials.filter((outcome) => !outcome.passed).map(({ trial }) => trial);
  return [
    `${passed.length} of ${trials.length} trials: completed by itself, same bytes, every step once${failed.length === 0 ? '' : `; not: ${failed.join(', ')}`}`,
    `${again.length} activities done again for ${faults} faults`,
    recoveries.length === 0
      ? 'no GPU worker was killed at work'
      : `GPU worker killed at work ${recoveries.length} times: its step was begun again after ${recoveries[recoveries.length >> 1]!.toFixed(1)} s (median), ` +
        `${recoveries.at(-1)!.toFixed(1)} s (longest); ${recoveries.filter((seconds) => seconds < RECOVERY_BAR_SECONDS).length} of them under ${RECOVERY_BAR_SECONDS} s`,
  ];
}
