import { canonicalJson } from '../artifacts/canonical-json.js';

/** The first thing of a run that is not as it must be. */
export class Unverified extends Error {
  override name = 'Unverified';
  constructor(
    /** Key of the object. */
    readonly at: string,
    problem: string,
  ) {
    super(`${at}: ${problem}`);
  }
}

/** @throws {Unverified} if the recorded value differs from the one computed again from its inputs */
export function require(at: string, what: string, recorded: unknown, follows: unknown): void {
  const [found, expected] = [canonicalJson(recorded), canonicalJson(follows)];
  if (found !== expected)
    throw new Unverified(at, `${what} is ${cut(found)}, but ${cut(expected)} follows from what it was made of`);
}

const cut = (text: string): string => (text.length > 120 ? `${text.slice(0, 117)}...` : text);
