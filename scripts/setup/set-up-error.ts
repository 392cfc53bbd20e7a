/** Set-up cannot go on and a person must act: the message says what failed, where, what was expected, and what to do. */
export class SetUpError extends Error {
  override readonly name = 'SetUpError';
}

/**
 * What to print of an error that ends a command: the message where it is meant for a person or comes from the system
 * (no space left, permission denied, an unknown option); the stack of everything else, which is a bug of ours.
 */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, syscall } = error as NodeJS.ErrnoException;
  const forPeople = ['SetUpError', 'ServiceError'].includes(error.name) || syscall !== undefined || code?.startsWith('ERR_PARSE_ARGS');
  return forPeople ? error.message : (error.stack ?? error.message);
}
