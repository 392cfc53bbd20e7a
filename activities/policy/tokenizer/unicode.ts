import { UNICODE_TABLES } from './unicode-tables.js';

/** First and last code point of a run. */
type Run = readonly [number, number];

function runsOf(lines: readonly string[]): Run[] {
  const numbers = lines
    .join(' ')
    .split(' ')
    .map((number) => Number.parseInt(number, 36));
  const runs: Run[] = [];
  for (let i = 0, at = 0; i < numbers.length; i += 2) {
    const first = at + numbers[i]!;
    at = first + numbers[i + 1]!;
    runs.push([first, at - 1]);
  }
  return runs;
}

const LETTERS = ['Lu', 'Ll', 'Lt', 'Lm', 'Lo'] as const;
const merged = (runs: readonly Run[]): Run[] => [...runs].sort(([a], [b]) => a - b);
const complement = (runs: readonly Run[]): Run[] => {
  const gaps: Run[] = [];
  let next = 0;
  for (const [first, last] of runs) {
    if (first > next) gaps.push([next, first - 1]);
    next = last + 1;
  }
  return next <= 0x10ffff ? [...gaps, [next, 0x10ffff]] : gaps;
};
/** A member of a class: as itself, for expressions past 20,000 characters are not compiled well; what could mean something else by number. */
const member = (point: number): string =>
  point < 0x100 || (point >= 0xd800 && point <= 0xdfff) || point === 0x10ffff
    ? `\\x{${point.toString(16)}}`
    : String.fromCodePoint(point);
/** The inside of a character class, as Hugging Face's tokenizers' own expressions are written. */
const written = (runs: readonly Run[]): string =>
  runs
    .map(([first, last]) => member(first) + (last > first ? `${last > first + 1 ? '-' : ''}${member(last)}` : ''))
    .join('');

const classes = new Map<string, string>();
/**
 * A Unicode property as the inside of a character class: by the tables of Hugging Face's tokenizers, since those of
 * JavaScript are of another version with each Node. undefined: not a property that is known here.
 *
 * @param name     L, Lu, ..., M, N, Nd, P, S, Z; `numeric`: what Rust calls so; `young`: see make_unicode_tables.py
 */
export function propertyClass(name: string, negated = false): string | undefined {
  const key = `${negated ? '^' : ''}${name}`;
  if (name !== 'L' && !Object.hasOwn(UNICODE_TABLES, name)) return undefined;
  let found = classes.get(key);
  if (found === undefined) {
    const names = name === 'L' ? LETTERS : [name as keyof typeof UNICODE_TABLES];
    const runs = merged(names.flatMap((one) => runsOf(UNICODE_TABLES[one])));
    found = written(negated ? complement(runs) : runs);
    classes.set(key, found);
  }
  return found;
}
