import { jsonDigits } from '../rollout/tool-calls.js';

/** A number that JavaScript's JSON would alter, as calls carry it: see ToolCall in schemas/environment-protocol.ts. */
interface MarkedNumber {
  readonly $number: string;
}

function marked(value: object): MarkedNumber | null {
  const entries = Object.entries(value);
  const isMark = entries.length === 1 && entries[0]![0] === '$number' && typeof entries[0]![1] === 'string';
  return isMark ? (value as MarkedNumber) : null;
}

/** What a value is with each marked number as something else. */
function withNumbers(value: unknown, numberOf: (text: string) => unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => withNumbers(item, numberOf));
  if (typeof value !== 'object' || value === null) return value;
  const number = marked(value);
  if (number) return numberOf(number.$number);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withNumbers(item, numberOf)]));
}

/** An integer beyond ±2^53, or a number beyond the range of doubles: no number of JavaScript's is it. */
const isAltered = (text: string): boolean =>
  !Number.isFinite(Number(text)) || (isInteger(text) && !Number.isSafeInteger(Number(text)));

const TOO_LARGE = 'beyond the range of numbers';

const isInteger = (text: string): boolean => /^[+-]?\d+$/.test(text);

/** Arguments with JavaScript's numbers; `alteredNumber` says whether they are the ones that were written. */
export const plainNumbers = <T>(value: T): T => withNumbers(value, Number) as T;

/**
 * What to tell the model about the first number of its arguments that JavaScript would alter, or null. Most MCP servers
 * are written in it and would alter the number, whatever is sent to them (RFC 8259, section 6), without a word.
 */
export function alteredNumber(given: unknown): string | null {
  const altered: string[] = [];
  withNumbers(given, (text) => isAltered(text) && altered.push(text));
  const [first] = altered;
  if (first === undefined) return null;
  const limit = isInteger(first)
    ? `an integer beyond ±${Number.MAX_SAFE_INTEGER}, which is not kept exactly`
    : TOO_LARGE;
  return `${first.slice(0, 60)} is ${limit}: if it is a name or an id, write it in quotes`;
}

/**
 * JSON in which marked numbers are numbers with the digits that were written: 1.0 stays apart from 1.
 * `JSON.rawJSON` does it from Node 22 on.
 *
 * @param json  as JSON.stringify makes it; inside of its strings there is no unescaped quote, so that a mark is none
 */
export const withExactNumbers = (json: string): string =>
  json.replaceAll(/\{"\$number":"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"\}/g, (_, text: string) =>
    jsonDigits(text),
  );
