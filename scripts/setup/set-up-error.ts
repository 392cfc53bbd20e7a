import { inspect } from 'node:util';

/** Set-up cannot go on and a person must act: the message says what failed, where, what was expected, and what to do. */
export class SetUpError extends Error {
  override readonly name = 'SetUpError';
}

/**
 * What to print of an error that ends a command: the message where it is meant for a person or comes from the system
 * (no space left, permission denied); the stack of everything else, which is a bug of ours.
 */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, syscall } = error as NodeJS.ErrnoException;
  const remedy = code === undefined ? undefined : REMEDIES[code];
  if (syscall !== undefined && remedy !== undefined) return `${error.message}: ${remedy}`;
  const forPeople = ['SetUpError', 'ServiceError'].includes(error.name) || syscall !== undefined;
  return forPeople ? error.message : inspect(error); // with its stack and causes
}

const NOT_WRITABLE =
  'this user may not write there. Set SEEUPO_RUNTIME_DIR to a folder of yours, or run the command as the owner of that place';
const FULL = 'free some space there, or set SEEUPO_RUNTIME_DIR to a folder on another disk';

/** What the system's own words leave open: what to do. */
const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: NOT_WRITABLE,
  EPERM: NOT_WRITABLE,
  EROFS: NOT_WRITABLE,
  ENOSPC: FULL,
  EDQUOT: FULL,
  EMFILE: 'more files are open than this shell allows; raise the limit (ulimit -n 4096) and run the command again',
};
