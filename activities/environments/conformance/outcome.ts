/** What a check that does not hold throws; anything else thrown is reported as it is. */
export class DoesNotHold extends Error {}

/** What could not be looked at, and why. */
export class NotLookedAt {
  constructor(readonly reason: string) {}
}

/** What a check that holds looked at; it throws if it does not hold. */
export type ProbeOutcome = Promise<string | NotLookedAt>;

export function fail(message: string): never {
  throw new DoesNotHold(message);
}
export function expect(holds: boolean, message: string): void {
  if (!holds) fail(message);
}
