import { idOf, readOptions, wholeNumber } from '../cli.js';

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
} as const;

/** @throws {UsageError} on an unknown option, a missing value, a number that is none, a run id that cannot be one */
export function parseOptions(args: readonly string[]): QuickstartOptions {
  const { values } = readOptions(OPTIONS, args);
  return {
    fresh: values.fresh ?? false,
    takeOver: values['take-over'] ?? false,
    keep: values.keep ?? false,
    config: values.config ?? DEFAULT_CONFIG,
    environment: values.environment ?? null,
    runId: values['run-id'] === undefined ? null : idOf('--run-id', values['run-id']),
    seed: wholeNumber('--seed', values.seed, 0, null),
    iterations: wholeNumber('--iterations', values.iterations, 0, null),
    help: values.help ?? false,
  };
}
