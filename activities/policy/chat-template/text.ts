import { SPACE } from './lexer.js';
import { NotReproduced, TemplateFault } from './values.js';

const SPACES = new RegExp(`[${SPACE}]`);
export const isSpace = (char: string): boolean => SPACES.test(char);

/** Python's strip, lstrip and rstrip: of white space, or of the characters given. */
export function stripped(text: string, side: 'both' | 'left' | 'right', chars: string | null): string {
  const points = [...text];
  const set = chars === null ? null : new Set(chars);
  const goes = (char: string): boolean => (set ? set.has(char) : isSpace(char));
  let [start, end] = [0, points.length];
  if (side !== 'right') while (start < end && goes(points[start]!)) start += 1;
  if (side !== 'left') while (end > start && goes(points[end - 1]!)) end -= 1;
  return points.slice(start, end).join('');
}

/** str.split and str.rsplit; `limit` below 0 is none. */
export function split(text: string, separator: string | null, limit: number, fromRight: boolean): string[] {
  if (separator === '') throw new TemplateFault('empty separator');
  if (separator !== null) {
    const parts = text.split(separator);
    if (limit < 0 || parts.length <= limit + 1) return parts;
    return fromRight
      ? [parts.slice(0, parts.length - limit).join(separator), ...parts.slice(parts.length - limit)]
      : [...parts.slice(0, limit), parts.slice(limit).join(separator)];
  }
  const words = [...text.matchAll(new RegExp(`[^${SPACE}]+`, 'g'))];
  const all = words.map(([word]) => word);
  if (limit < 0 || all.length <= limit) return all;
  if (!fromRight)
    return [
      ...all.slice(0, limit),
      ...(all.length > limit ? [stripped(text.slice(words[limit]!.index), 'right', null).concat(tailOf(text))] : []),
    ];
  const first = words[all.length - limit];
  const head = stripped(first ? text.slice(0, first.index) : text, 'right', null);
  return [head, ...all.slice(all.length - limit)];
}
/** str.split(None, n) leaves the rest as it is, with the blanks at its end. */
const tailOf = (text: string): string => text.slice(stripped(text, 'right', null).length);

export function splitLines(text: string, keepEnds: boolean): string[] {
  const lines = text
    .match(/[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]|$)/g)!
    .filter((line) => line !== '');
  return keepEnds ? lines : lines.map((line) => line.replace(/(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])$/, ''));
}

/** Letters whose title case is not their upper case: Unicode's digraphs, and Greek with a iota below; Georgian stays. */
const TITLE: ReadonlyMap<string, string> = new Map([
  ...[
    ['Ǆǅǆ', 'ǅ'],
    ['Ǉǈǉ', 'ǈ'],
    ['Ǌǋǌ', 'ǋ'],
    ['Ǳǲǳ', 'ǲ'],
  ].flatMap(([from, to]) => [...from!].map((char) => [char, to!] as const)),
  ...[...'ßﬀﬁﬂﬃﬄﬅﬆ'].map((char, i) => [char, ['Ss', 'Ff', 'Fi', 'Fl', 'Ffi', 'Ffl', 'St', 'St'][i]!] as const),
]);
function titled(char: string): string {
  const known = TITLE.get(char);
  if (known !== undefined) return known;
  // Letters whose upper case is more than one are few, and none of them is in text that templates change.
  const upper = char.toUpperCase();
  if ([...upper].length > 1 || /[\u1f80-\u1ffc]/.test(char))
    throw new NotReproduced(`the title case of ${JSON.stringify(char)}`);
  return /[\u10d0-\u10ff]/.test(char) ? char : upper;
}

export function capitalized(text: string): string {
  const [first = ''] = text;
  // Lowered as a whole, for a final sigma is known by what stands before it.
  return first === '' ? '' : titled(first) + text.toLowerCase().slice(first.toLowerCase().length);
}

/** str.title: every letter that no letter stands before. */
export function titleCase(text: string): string {
  let [result, within] = ['', false];
  for (const char of text) {
    const isCased = /\p{Cased}/u.test(char);
    result += isCased && !within ? titled(char) : loweredAlone(char);
    within = isCased;
  }
  return result;
}

/** A sigma's small form depends on what stands around it. */
function loweredAlone(char: string): string {
  if (char === 'Σ') throw new NotReproduced('the small form of a sigma within a word');
  return char.toLowerCase();
}

export function swapCase(text: string): string {
  return [...text]
    .map((char) => (/\p{Lu}/u.test(char) ? loweredAlone(char) : /\p{Ll}/u.test(char) ? char.toUpperCase() : char))
    .join('');
}

const every = (text: string, pattern: RegExp): boolean => text !== '' && [...text].every((char) => pattern.test(char));
/** Digits beyond the decimal ones (Numeric_Type=Digit): superscripts, subscripts, circled and others. */
const DIGIT =
  /[\p{Nd}\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]/u;
const cased = (text: string, wanted: 'upper' | 'lower'): boolean => {
  const [yes, no] =
    wanted === 'upper' ? [/\p{Uppercase}/u, /[\p{Lowercase}\p{Lt}]/u] : [/\p{Lowercase}/u, /[\p{Uppercase}\p{Lt}]/u];
  return yes.test(text) && !no.test(text);
};
/** The questions that a str answers about its characters. */
export const CHARACTER_TESTS: Readonly<Record<string, (text: string) => boolean>> = {
  isalpha: (text) => every(text, /\p{L}/u),
  isascii: (text) => /^[\0-\x7f]*$/.test(text),
  isdecimal: (text) => every(text, /\p{Nd}/u),
  isdigit: (text) => every(text, DIGIT),
  isspace: (text) => every(text, SPACES),
  isupper: (text) => cased(text, 'upper'),
  islower: (text) => cased(text, 'lower'),
  isalnum: (text) => {
    // Ideographs for numbers are letters already; what is left are numbers that are no digits, as fractions.
    return every(text, /[\p{L}\p{N}]/u);
  },
};

/** Python's repr of a str: in the quote that it does not hold, everything that does not print as an escape. */
export function reprOfText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let result = '';
  for (const char of text) {
    const point = char.codePointAt(0)!;
    const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\', [quote]: `\\${quote}` }[char];
    if (short !== undefined) result += short;
    else if (char === ' ' || !/[\p{C}\p{Z}]/u.test(char)) result += char;
    else if (point < 0x100) result += `\\x${point.toString(16).padStart(2, '0')}`;
    else
      result +=
        point < 0x10000 ? `\\u${point.toString(16).padStart(4, '0')}` : `\\U${point.toString(16).padStart(8, '0')}`;
  }
  return quote + result + quote;
}

/** Where a text stands in another, counted in code points; -1 if nowhere. */
export function indexOfText(
  text: string,
  part: string,
  start: bigint | null,
  end: bigint | null,
  fromRight: boolean,
): number {
  const points = [...text];
  const [from, to] = [clamped(start ?? 0n, points.length), clamped(end ?? BigInt(points.length), points.length)];
  if (from > to) return -1;
  const within = points.slice(from, to).join('');
  const unit = fromRight ? within.lastIndexOf(part) : within.indexOf(part);
  return unit < 0 ? -1 : from + Array.from(within.slice(0, unit)).length;
}
export const clamped = (index: bigint, length: number): number => {
  const positive = index < 0n ? index + BigInt(length) : index;
  return Number(positive < 0n ? 0n : positive > BigInt(length) ? BigInt(length) : positive);
};

export function countOf(text: string, part: string): number {
  return part === '' ? [...text].length + 1 : text.split(part).length - 1;
}

export function replaced(text: string, from: string, to: string, limit: number): string {
  if (limit < 0)
    return from === '' ? [...text].map((char) => to + char).join('') + to : text.replaceAll(from, () => to);
  if (from === '') throw new NotReproduced('replace of nothing, so many times');
  const parts = text.split(from);
  return (
    parts.slice(0, limit + 1).join(to) +
    parts
      .slice(limit + 1)
      .map((part) => from + part)
      .join('')
  );
}
