import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';

/**
 * JSON in the one form that may be hashed: RFC 8785, sorted keys, no blanks.
 *
 * @throws {TypeError} on NaN, infinity, a lone surrogate or a cycle: JSON cannot hold them
 */
export function canonicalJson(value: unknown): string {
  let text: string | undefined;
  try {
    text = canonicalize(value);
  } catch (cause) {
    throw new TypeError(`cannot be written as JSON: ${(cause as Error).message}`, { cause });
  }
  if (text === undefined) throw new TypeError(`cannot be written as JSON: ${typeof value}`);
  return text;
}

/** Lower-case hexadecimal SHA-256. */
export const sha256 = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');

/** What identifies a piece of work: the hash of everything it depends on. */
export const inputHashOf = (input: unknown): string => sha256(canonicalJson(input));
