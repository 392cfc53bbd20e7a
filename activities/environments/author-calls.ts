import path from 'node:path';
import type { Answer } from './answers.js';
import { BadEnvironmentDefinition } from './definition.js';
import { described, isThenable } from './described.js';
import { EnvironmentProtocolError, EnvironmentUnavailable } from './environment.js';
import { Endless, interruptible } from './interruptible.js';

/** Whose function is called, and when. */
export interface Asked {
  /** E.g. `environment unit-prices, task a, turn 2`. */
  readonly where: string;
  /** What the definition calls the function. */
  readonly slot: string;
  readonly answer: Answer;
  /** The function must give the thread back within it. */
  readonly timeoutMs: number;
  /** Turns played so far. */
  readonly turns?: number;
}

let observer: ((call: string) => void) | null = null;

/** Tells each call of an author's function before it is made, e.g. `environment x, task a, turn 1: tool add`; null ends that. */
export const watchAuthorCalls = (observe: ((call: string) => void) | null): void => void (observer = observe);

/**
 * What a function of the author's gives, checked. The type of the value is the definition's word for it.
 *
 * @throws {EnvironmentProtocolError} environment_fault: `WHERE: NAME gave X, expected Y`, or what it threw
 */
export function ask<T>(asked: Asked, call: () => unknown): T {
  const value = called(asked, call);
  return fitting(asked, value) as T;
}

/** The same for a function that may give a promise. */
export async function askLater<T>(asked: Asked, call: () => unknown): Promise<T> {
  const given = called(asked, call);
  let value: unknown;
  try {
    value = await given;
  } catch (error) {
    throw authorFault(`${asked.where}: ${asked.slot}`, error);
  }
  return fitting(asked, value) as T;
}

function called(asked: Asked, call: () => unknown): unknown {
  observer?.(`${asked.where}: ${asked.slot}`);
  return guarded(asked, () => interruptible(asked.timeoutMs, call));
}

function guarded<R>({ where, slot }: Pick<Asked, 'where' | 'slot'>, work: () => R): R {
  try {
    return work();
  } catch (error) {
    throw authorFault(`${where}: ${slot}`, error);
  }
}

function fitting({ where, slot, answer, turns = 0 }: Asked, value: unknown): unknown {
  const wrong = guarded({ where, slot }, () => answer.wrong(value, turns));
  if (wrong === null) return value;
  // Nobody will wait for it, so its failure must not be the process's.
  if (isThenable(value)) void Promise.resolve(value).catch(() => {});
  throw new EnvironmentProtocolError(
    'environment_fault',
    `${where}: ${slot} gave ${wrong}, expected ${answer.expected}${adviceOn(value)}`,
  );
}

const adviceOn = (value: unknown): string =>
  isThenable(value) ? ': it cannot be async' : value === undefined ? ': is a `return` missing?' : '';

/** An exception of the author's code is no observation: nothing may be trained on it. A server that is away stays what it is. */
export function authorFault(where: string, error: unknown): Error {
  if (
    error instanceof EnvironmentUnavailable ||
    error instanceof EnvironmentProtocolError ||
    error instanceof BadEnvironmentDefinition
  )
    return error;
  if (error instanceof Endless)
    return new EnvironmentProtocolError('environment_fault', `${where} ${error.message}`, { cause: error });
  const said = error instanceof Error ? `${error.name}: ${error.message}` : described(error);
  const advice = `correct it; for what the model did wrong, throw a ToolError in a tool${relativePathHint(error)}`;
  return new EnvironmentProtocolError('environment_fault', `${where} threw ${said}: ${advice}`, { cause: error });
}

/** The ToolError, by which the author refuses the model, that an error is or wraps; null if it is none. By its name: a module may have a class of its own. */
export function refusalIn(error: unknown): Error | null {
  const { cause } = (error ?? {}) as { cause?: unknown };
  return [error, cause].find((one): one is Error => (one as Error | null | undefined)?.name === 'ToolError') ?? null;
}

/** Where a relative path of the module's leads, for an error about a file that is not there. */
export function relativePathHint(error: unknown): string {
  const { code, path: file } = (error ?? {}) as { code?: unknown; path?: unknown };
  if (code !== 'ENOENT' || typeof file !== 'string' || path.isAbsolute(file)) return '';
  return (
    `; the path ${JSON.stringify(file)} is relative to the folder that the process runs in, ${process.cwd()}, not to the module: ` +
    `write new URL(${JSON.stringify(`./${path.posix.normalize(file)}`)}, import.meta.url)`
  );
}
