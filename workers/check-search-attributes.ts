import type { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { attributes } from '../workflows/search-attributes.js';
import type { TemporalSettings } from './dependencies.js';
import { temporalCommand } from './temporal-command.js';

/**
 * A search attribute is registered with another type than runs write: the server would refuse every step of every
 * run that writes it.
 */
export class BadSearchAttributes extends Error {
  override name = 'BadSearchAttributes';
}

/** The Temporal CLI's names of the types, by the SDK's names and by the server's numbers. */
const CLI_NAMES: Readonly<Record<string, string>> = {
  TEXT: 'Text',
  KEYWORD: 'Keyword',
  INT: 'Int',
  DOUBLE: 'Double',
  BOOL: 'Bool',
  DATETIME: 'Datetime',
  KEYWORD_LIST: 'KeywordList',
};
const BY_NUMBER = ['Unspecified', 'Text', 'Keyword', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList'];
/** @param type  of a search attribute, as the SDK names it or the server numbers it */
export const cliTypeName = (type: unknown): string =>
  typeof type === 'number' ? (BY_NUMBER[type] ?? String(type)) : (CLI_NAMES[String(type)] ?? String(type));

/**
 * Search attributes as the server has them, against those that runs write.
 *
 * @param known  type by name, as the server lists them
 * @returns      null if all is well; else a sentence with commands to paste, and whether waiting for the missing
 * ones makes sense
 */
export function problemWithAttributes(
  known: Readonly<Record<string, unknown>>,
  temporal: TemporalSettings,
): { message: string; passes: boolean } | null {
  const wanted = Object.values(attributes).map(({ name, type }) => ({ name, type: cliTypeName(type) }));
  const create = (all: typeof wanted) =>
    temporalCommand(
      temporal,
      'operator',
      'search-attribute',
      'create',
      ...all.flatMap(({ name, type }) => ['--name', name, '--type', type]),
    );
  const other = wanted.filter(({ name, type }) => known[name] !== undefined && cliTypeName(known[name]) !== type);
  if (other.length > 0) {
    const found = other
      .map(({ name, type }) => `${name} is of type ${cliTypeName(known[name])}, expected ${type}`)
      .join('; ');
    const remove = temporalCommand(
      temporal,
      'operator',
      'search-attribute',
      'remove',
      ...other.flatMap(({ name }) => ['--name', name]),
      '--yes',
    );
    return {
      passes: false,
      message: `search attributes are registered with another type, so that no run could continue: ${found}. Remove them and create them again: ${remove} && ${create(other)}`,
    };
  }
  const missing = wanted.filter(({ name }) => known[name] === undefined);
  return missing.length === 0
    ? null
    : { passes: true, message: `search attributes are missing; run: ${create(missing)}` };
}

/**
 * A workflow that sets an attribute the server does not know would hang, so the worker waits for them. @throws
 * {BadSearchAttributes} if waiting would not help
 */
export async function checkSearchAttributes(
  connection: NativeConnection,
  temporal: TemporalSettings,
  log: Logger,
): Promise<void> {
  const { customAttributes } = await connection.operatorService
    .listSearchAttributes({ namespace: temporal.namespace })
    .catch((error: unknown) => {
      const { code, message } = error as Error & { code?: number };
      // 7 and 12 of gRPC: permission denied, unimplemented. Such a server's attributes are its operator's to know.
      if (code !== 7 && code !== 12) throw error;
      log.warn(`search attributes could not be checked: ${message}`);
      return { customAttributes: null };
    });
  if (customAttributes === null) return;
  const problem = problemWithAttributes(customAttributes ?? {}, temporal);
  if (problem) throw problem.passes ? new Error(problem.message) : new BadSearchAttributes(problem.message);
}
