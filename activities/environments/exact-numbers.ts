import { jsonDigits } from '../rollout/tool-calls.js';

/** A number that JavaScript's JSON would alter, as calls carry it: see ToolCall in schemas/environment-protocol.ts. */
interface MarkedNumber {
  readonly $number: string;
}

function marked(value: object): MarkedNumber | null {
  const entries = Object.entries(value);
  return entries.length === 1 && entries[0]![0] === '$number' && typeof entries[0]![1] === 'string' ? (value as MarkedNumber) : null;
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
const isAltered = (text: string): boolean => !Number.isFinite(Number(text)) || (/^[+-]?\d+$/.test(text) && !Number.isSafeInteger(Number(text)));

/** Arguments as an author's code reads them: numbers are JavaScript's, and one that none of these is stays its digits as text. */
export const readableNumbers = (value: unknown): unknown => withNumbers(value, (text) => (isAltered(text) ? text : Number(text)));

/**
 * Arguments of a tool that runs in this process.
 * @returns or what to tell the model about a number that would be altered
 */
export function plainNumbers<T>(value: T): { readonly value: T } | { readonly refusal: string } {
  const altered: string[] = [];
  const plain = withNumbers(value, (text) => {
    if (isAltered(text)) altered.push(text);
    return Number(text);
  });
  if (altered[0] === undefined) return { value: plain as T };
  const limit = /^[+-]?\d+$/.test(altered[0]) ? `an integer beyond ±${Number.MAX_SAFE_INTEGER}, which is not kept exactly` : 'beyond the range of numbers';
  return { refusal: `${altered[0].slice(0, 60)} is ${limit}: if it is a name or an id, write it in quotes` };
}

/**
 * JSON in which marked numbers are numbers with the digits that were written: 1.0 stays apart from 1, and 20 digits stay 20.
 * `JSON.rawJSON` does it from Node 22 on.
 *
 * @param json  as JSON.stringify makes it; inside of its strings there is no unescaped quote, so that a mark is none
 */
export const withExactNumbers = (json: string): string =>
  json.replaceAll(/\{"\$number":"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"\}/g, (_, text: string) => jsonDigits(text));
