import type { ToolCall } from '../../../schemas/environment-protocol.js';

/** A call that was understood. */
export type WellFormedCall = Extract<ToolCall, { name: string }>;
/** Value of an argument: JSON, see ToolCall for the numbers JSON cannot carry. */
export type ArgumentValue = WellFormedCall['positional'][number];

/** One way to write calls. */
export interface Notation {
  /** Of what follows the thinking that a response begins with; passes over later thinking. Never throws, evaluates nothing. */
  readonly parse: (response: string) => ToolCall[];
  readonly render: (calls: readonly WellFormedCall[]) => string;
}

/** Calls after these are reported as one malformed piece. */
export const MAX_CALLS_PER_RESPONSE = 32;
/** Lists and dicts within each other in one argument. */
export const MAX_DEPTH = 8;
/** Characters of one call as JSON, or of one program. */
export const MAX_CALL_LENGTH = 65_536;

/**
 * A Python number as JSON. `JSON.stringify(5.0)` is `5`, which Python reads as an integer, and an integer
 * beyond 2^53 loses digits: both travel as `{ $number }`.
 */
export function jsonNumber(digits: string): ArgumentValue {
  const value = Number(digits);
  const isInteger = /^[+-]?\d+$/.test(digits);
  const survives = isInteger
    ? Number.isSafeInteger(value) && !Object.is(value, -0)
    : Number.isFinite(value) && !Number.isInteger(value);
  return survives ? value : { $number: digits.replace(/^\+/, '') };
}

/** A number of `{ $number }` as JSON has it: Python also writes `5.`, `.5e3` and `00.5`. */
export function jsonDigits(text: string): string {
  const [, sign, whole, fraction, exponent] = /^([+-]?)(\d*)(?:\.(\d*))?([eE].*)?$/.exec(text) ?? [];
  if (whole === undefined) return text;
  const point = fraction === undefined ? '' : `.${fraction || '0'}`;
  return `${sign === '-' ? '-' : ''}${whole.replace(/^0+(?=\d)/, '') || '0'}${point}${exponent ?? ''}`;
}
