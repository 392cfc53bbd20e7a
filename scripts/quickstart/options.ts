import { parseArgs } from 'node:util';
import { RunId } from '../../schemas/train-config.js';

export interface QuickstartOptions {
  /** A new run, whatever there is. */
  readonly fresh: boolean;
  /** The execution that holds the run is gone: go on in its place. */
  readonly takeOver: boolean;
  /** Leave servers and workers up at the end. */
  readonly keep: boolean;
  /** Path of the run's settings, as given. */
  readonly config: string;
  /** Module of an environment to train on instead of the file's, as given. */
  readonly environment: string | null;
  readonly runId: string | null;
  /** These two stand in for the file's values. */
  readonly seed: number | null;
  readonly iterations: number | null;
  readonly help: boolean;
}

/** The command line asks for something that is not there; the message says what to write. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const DEFAULT_CONFIG = 'scripts/runs/quickstart.json';

export const USAGE = `npm run quickstart [-- OPTIONS]

Trains a real pretrained model on real multi-turn tool-use tasks with SeeUPO, and shows whether it learned.
Picks up the current run where it was; what is committed is not done again.

  --fresh           start a new run, under a new id
  --take-over       go on with a run that another Temporal server held, which is gone for good
  --keep            leave servers and workers up at the end, for the Web UI
  --config FILE     the run's settings (default ${DEFAULT_CONFIG})
  --environment F   train on an environment of your own, e.g. ./my-environment.ts (see examples/)
  --run-id ID       name of the run (default quickstart, then quickstart-2, ...)
  --seed N          seed instead of the file's
  --iterations N    number of iterations instead of the file's
  --help            this text

Ctrl-C stops everything that was started; the same command goes on from there.`;

const OPTIONS = {
  fresh: { type: 'boolean' },
  'take-over': { type: 'boolean' },
  keep: { type: 'boolean' },
  config: { type: 'string' },
  environment: { type: 'string' },
  'run-id': { type: 'string' },
  seed: { type: 'string' },
  iterations: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** @throws {UsageError} on an unknown option, a missing value, a number that is none, a run id that cannot be one */
export function parseOptions(args: readonly string[]): QuickstartOptions {
  const { values } = parsed(args);
  const runId = values['run-id'] ?? null;
  if (runId !== null) {
    const checked = RunId.safeParse(runId);
    if (!checked.success)
      throw new UsageError(`--run-id is "${runId}": it ${checked.error.issues[0]?.message ?? 'is no run id'}`);
  }
  return {
    fresh: values.fresh ?? false,
    takeOver: values['take-over'] ?? false,
    keep: values.keep ?? false,
    config: values.config ?? DEFAULT_CONFIG,
    environment: values.environment ?? null,
    runId,
    seed: count('--seed', values.seed),
    iterations: count('--iterations', values.iterations),
    help: values.help ?? false,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false });
  } catch (error) {
    // Node's message names the option; its advice on `--` does not apply here.
    const reason = (error as Error).message.split(/\. (?:To specify|Did you)/)[0] ?? '';
    throw new UsageError(
      `${reason.replace(/\.$/, '')}. Known: ${Object.keys(OPTIONS)
        .map((name) => `--${name}`)
        .join(', ')}`,
    );
  }
}

function count(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text))) {
    throw new UsageError(`${name} is "${text}": expected a whole number, 0 or more, e.g. ${name} 3`);
  }
  return Number(text);
}
