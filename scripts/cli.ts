import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { NotUtf8, readTextFile } from '../activities/text-file.js';
import { RunId } from '../schemas/train-config.js';
import { describeFailure } from './setup/set-up-error.js';

/** The command line or the input asks for something that is not there; the message says what to write. */
export class UsageError extends Error {
  override readonly name = 'UsageError';

  /** @param showsUsage  whether the command's usage follows: where the message alone does not say what to write */
  constructor(
    message: string,
    readonly showsUsage = false,
  ) {
    super(message);
  }
}

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: boolean }>>;
export type Values<O extends Options> = Parsed<O>['values'];

const HELP = { help: { type: 'boolean', short: 'h' } } as const;

/** Names of errors whose message is written for the person at the terminal; the stack would be in the way. */
const FOR_PEOPLE = new Set([
  'UsageError',
  'NotUtf8',
  'SetUpError',
  'BadConfig',
  'BadEnvironmentVariables',
  'QuickstartError',
  'OtherSeries',
  'ModelFileInvalid',
  'TensorFileInvalid',
  'HubUnavailable',
  'SideFailed',
  'RangeError',
  'Unverified',
  'ConflictingCommit',
]);

/** What to print of an error that ends a command: one clear line where a person can act; a stack where it is our bug. */
export function plainWords(error: unknown): string {
  const { name, message } = error as Error;
  return FOR_PEOPLE.has(name) || /^(Store|Artifact|Environment)/.test(name) ? message : describeFailure(error);
}

/** 2 where the command was called wrongly, else 1. */
export const exitCodeOf = (error: unknown): number =>
  ['UsageError', 'NotUtf8'].includes((error as Error).name) ? 2 : 1;

/** @throws {UsageError} on an option that is not known, naming those that are, and on one without its value */
export function readOptions<const O extends Options>(
  options: O,
  args: readonly string[],
  { positionals = false }: { readonly positionals?: boolean } = {},
): Parsed<O & typeof HELP> {
  const all = { ...options, ...HELP };
  try {
    return parseArgs({ args: [...args], options: all, strict: true, allowPositionals: positionals }) as Parsed<
      O & typeof HELP
    >;
  } catch (error) {
    // Node's message names the option; its advice on `--` does not apply here.
    const reason = (error as Error).message.split(/\. (?:To specify|Did you)/)[0] ?? '';
    const known = Object.keys(all).map((name) => `--${name}`);
    throw new UsageError(`${reason.replace(/\.$/, '')}. Known: ${known.join(', ')}`);
  }
}

/**
 * Runs a command on the options of its command line; `--help` prints the usage instead. Its errors are told on
 * standard error, with exit code 1, or 2 if it was called wrongly.
 *
 * @param main  gives the exit code, if it is another than 0
 */
export async function command<const O extends Options>(
  usage: string,
  options: O,
  main: (values: Values<O & typeof HELP>, positionals: readonly string[]) => Promise<number | void>,
  { positionals = false }: { readonly positionals?: boolean } = {},
): Promise<void> {
  // A reader that has seen enough, like `head`, closes the pipe; `up` listens for that itself, and goes on.
  if (process.stdout.listenerCount('error') === 0) {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  }
  try {
    const given = readOptions(options, process.argv.slice(2), { positionals });
    if ((given.values as { help?: boolean }).help) return console.log(usage);
    const code = await main(given.values, given.positionals);
    if (code !== undefined) process.exitCode = code;
  } catch (error) {
    console.error(plainWords(error) + (error instanceof UsageError && error.showsUsage ? `\n\n${usage}` : ''));
    process.exitCode = exitCodeOf(error);
  }
}

/** A path as the caller meant it: npm runs scripts in the root of the checkout, wherever it was called. */
export const callersPath = (given: string): string => path.resolve(process.env['INIT_CWD'] ?? process.cwd(), given);

/** An option that must be given. @throws {UsageError} */
export function required<V>(option: string, given: V | undefined): V {
  if (given === undefined) throw new UsageError(`${option} is missing`, true);
  return given;
}

/** @throws {UsageError} unless it is left out or a whole number of at least `least` */
export function wholeNumber<D>(option: string, given: string | undefined, least: number, otherwise: D): number | D {
  if (given === undefined) return otherwise;
  const value = /^-?\d+$/.test(given) ? Number(given) : NaN;
  if (Number.isSafeInteger(value) && value >= least) return value;
  const expected = least === 0 ? 'a whole number, 0 or more' : `a whole number from ${least}`;
  throw new UsageError(`${option} is "${given}": expected ${expected}`);
}

/** @throws {UsageError} unless it is left out or a finite number of at least `least` */
export function number<D>(option: string, given: string | undefined, least: number, otherwise: D): number | D {
  if (given === undefined) return otherwise;
  const value = given.trim() === '' ? NaN : Number(given);
  if (Number.isFinite(value) && value >= least) return value;
  throw new UsageError(`${option} is "${given}": expected a number from ${least}`);
}

/** A part of a whole. @throws {UsageError} unless it is left out or a number from 0 to 1, without 0 if that means nothing */
export function share(option: string, given: string | undefined, { aboveZero = false } = {}): number | undefined {
  if (given === undefined) return undefined;
  const value = given.trim() === '' ? NaN : Number(given);
  if (value <= 1 && (aboveZero ? value > 0 : value >= 0)) return value;
  throw new UsageError(`${option} is "${given}": expected a share ${aboveZero ? 'above 0, at most' : 'from 0 to'} 1`);
}

/** @throws {UsageError} unless it is left out or one of the choices */
export function oneOf<C extends string, D>(
  option: string,
  given: string | undefined,
  choices: readonly C[],
  otherwise: D,
): C | D {
  if (given === undefined) return otherwise;
  if ((choices as readonly string[]).includes(given)) return given as C;
  const few = `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
  throw new UsageError(
    `${option} is "${given}": expected ${choices.length > 3 ? `one of ${choices.join(', ')}` : few}`,
  );
}

/** The id of a run, or of what is named as runs are. @throws {UsageError} */
export function idOf(option: string, given: string): string {
  const checked = RunId.safeParse(given);
  if (checked.success) return checked.data;
  throw new UsageError(`${option} is "${given}": it ${checked.error.issues[0]!.message}`);
}

/** A directory to write into. @returns its absolute path. @throws {UsageError} if there is something in it */
export function emptyDirectory(option: string, given: string): string {
  const directory = callersPath(given);
  if (!existsSync(directory) || readdirSync(directory).length === 0) return directory;
  throw new UsageError(`${option}: ${directory} is not empty: choose a new directory`);
}

/** @param what  the option that named it, for the message. @throws {UsageError} */
export async function readJsonFile(file: string, what: string): Promise<unknown> {
  const text = await readTextFile(file).catch((error: Error) => {
    throw new UsageError(`${what}: ${error instanceof NotUtf8 ? error.message : `there is no readable file ${file}`}`);
  });
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${what}: ${file} is no JSON (${(error as Error).message})`);
  }
}
