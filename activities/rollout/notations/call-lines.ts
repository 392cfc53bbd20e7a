import type { ToolCall } from '../../../schemas/environment-protocol.js';
import { thinkingEnd } from '../thinking.js';
import {
  jsonNumber,
  MAX_CALLS_PER_RESPONSE,
  MAX_DEPTH,
  type ArgumentValue,
  type Notation,
  type WellFormedCall,
} from './notation.js';

/**
 * Lines such as `CALL cd('plans')` with Python literals, short enough for a very small model. A name of an argument that
 * is no name in Python stands in quotes, `CALL search('$filter'='x')`.
 */
export const callLines: Notation = { parse: parseCallLines, render: (calls) => calls.map(renderCallLine).join('\n') };

const MAX_LINE_LENGTH = 4096;
const MAX_INTEGER_DIGITS = 40;

function parseCallLines(response: string): ToolCall[] {
  const calls: ToolCall[] = [];
  for (const [line, lineNumber] of spokenLines(response)) {
    if (!/^\s*CALL\b/.test(line)) continue;
    if (calls.length === MAX_CALLS_PER_RESPONSE) {
      calls.push({ malformed: `line ${lineNumber}: more than ${MAX_CALLS_PER_RESPONSE} calls in one response` });
      break;
    }
    calls.push(parseCallLine(line, lineNumber));
  }
  return calls;
}

/** Lines and their numbers without thinking, which begins in lines that are no call: there a tag is an argument. */
function spokenLines(response: string): [string, number][] {
  const lines: [string, number][] = [];
  let [at, number, line] = [0, 1, ''];
  let [end, thinking] = [-1, -1];
  for (;;) {
    if (end < at) end = placeOf(LINE_BREAK, response, at) ?? response.length;
    if (thinking < at) thinking = placeOf(THINKING, response, at) ?? response.length;
    if (thinking < end && !(line.trim() === '' && placeOf(CALL, response, at) !== null)) {
      line += response.slice(at, thinking);
      at = thinkingEnd(response, thinking);
      number += response.slice(thinking, at).split(LINE_BREAK).length - 1;
      continue;
    }
    lines.push([line + response.slice(at, end), number]);
    if (end === response.length) return lines;
    at = end + (response.startsWith('\r\n', end) ? 2 : 1);
    number++;
    line = '';
  }
}

const LINE_BREAK = /\r\n|\r|\n/g;
const THINKING = /<think>/g;
/** At a place, not after it. */
const CALL = /[^\S\r\n]*CALL\b/y;

function placeOf(pattern: RegExp, text: string, from: number): number | null {
  pattern.lastIndex = from;
  return pattern.exec(text)?.index ?? null;
}

function parseCallLine(line: string, lineNumber: number): ToolCall {
  if (line.length > MAX_LINE_LENGTH)
    return { malformed: `line ${lineNumber}: ${line.length} characters, the limit is ${MAX_LINE_LENGTH}` };
  try {
    return new CallLineReader(line).call();
  } catch (error) {
    if (!(error instanceof NotACall)) throw error;
    return { malformed: `line ${lineNumber}: ${error.message}, expected e.g. CALL cd('plans')` };
  }
}

/** What is wrong at which column; never leaves this file. */
class NotACall extends Error {}

const CONSTANTS: Readonly<Record<string, boolean | null>> = { True: true, False: false, None: null };
/** Words of JSON and JavaScript for them: quoting these would make texts of them. */
const FOREIGN: Readonly<Record<string, string>> = {
  true: 'True',
  false: 'False',
  null: 'None',
  none: 'None',
  undefined: 'None',
};
/** A name of Python's, which needs no quotes before `=`. */
const NAME = /[\p{L}_][\p{L}\p{M}\p{N}_]*/u;

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Hexadecimal digits after \x, \u and \U. */
const HEX_ESCAPES: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * Recursive descent over one line: `CALL name(literal, ..., keyword=literal, ...)` with Python literals.
 * No library reads Python literals without a whole Python grammar; this subset is small. Left out on
 * purpose, and therefore malformed: prefixes (r'', b'', f''), triple quotes, adjacent strings, \N{...},
 * complex numbers, sets, dict keys other than strings, operators.
 */
class CallLineReader {
  private at = 0;

  constructor(private readonly line: string) {}

  call(): WellFormedCall {
    this.space();
    this.at += 'CALL'.length;
    this.space();
    const name = this.take(/[A-Za-z_][A-Za-z0-9_]*/y) ?? this.fail('a function name is missing');
    this.expect('(', 'after the function name');
    const positional: ArgumentValue[] = [];
    const keyword = new Map<string, ArgumentValue>();
    while (!this.accept(')')) {
      const key = this.argumentName();
      if (key !== undefined) {
        this.expect('=', `after ${key}`);
        if (keyword.has(key)) this.fail(`argument ${key.slice(0, 40)} is given twice`);
        if (key === '__proto__' || key === '$number') this.fail(`argument ${key} is reserved`);
        keyword.set(key, this.value(0));
      } else {
        if (keyword.size > 0) this.fail('an argument without a name follows one with a name');
        positional.push(this.value(0));
      }
      if (!this.accept(',') && !this.peek(')')) this.fail("',' or ')' is missing");
    }
    if (this.at < this.line.length) this.fail('text follows the call');
    return { name, positional, keyword: Object.fromEntries(keyword) };
  }

  /** The name before `=`: one of Python's, or a text in quotes; undefined if a value follows. */
  private argumentName(): string | undefined {
    const start = this.at;
    const next = this.line[start];
    if (next === "'" || next === '"') {
      const text = this.string(next);
      if (this.peek('=')) return text;
      this.at = start;
      return undefined;
    }
    const name = this.take(new RegExp(`${NAME.source}(?=\\s*=)`, 'uy'));
    if (name !== undefined) return name;
    const bare = /[^\s'"(){},=]+(?=\s*=)/y;
    bare.lastIndex = start;
    const unquoted = bare.exec(this.line)?.[0].slice(0, 40);
    if (unquoted !== undefined) this.fail(`the argument name ${unquoted} needs quotes: ${quoted(unquoted)}=...`);
    return undefined;
  }

  private value(depth: number): ArgumentValue {
    const next = this.line[this.at];
    if (next === "'" || next === '"') return this.string(next);
    if (depth >= MAX_DEPTH && next !== undefined && '[({'.includes(next)) {
      this.fail(`a value is nested more than ${MAX_DEPTH} deep`);
    }
    if (this.accept('[')) return this.items(']', depth);
    if (this.accept('(')) return this.tuple(depth);
    if (this.accept('{')) return this.dictionary(depth);
    const word = this.take(/[A-Za-z_][A-Za-z0-9_]*/y);
    if (word !== undefined) {
      const constant = Object.hasOwn(CONSTANTS, word) ? CONSTANTS[word] : undefined;
      if (constant !== undefined) return constant;
      const meant = Object.hasOwn(FOREIGN, word) ? `is written ${FOREIGN[word]}` : 'is no value; quote a text';
      return this.fail(`${word.slice(0, 20)} ${meant}`);
    }
    if (next !== undefined && '“”‘’`'.includes(next)) this.fail(`${next} is no quote here: write ' or "`);
    return this.number();
  }

  private items(close: ']' | ')', depth: number): ArgumentValue[] {
    const items: ArgumentValue[] = [];
    while (!this.accept(close)) {
      items.push(this.value(depth + 1));
      if (!this.accept(',') && !this.peek(close)) this.fail(`',' or '${close}' is missing`);
    }
    return items;
  }

  /** A tuple becomes a list; `(x)` is x itself, as in Python. */
  private tuple(depth: number): ArgumentValue {
    const start = this.at;
    const items = this.items(')', depth);
    const bare = items.length === 1 && !/,\s*\)\s*$/.test(this.line.slice(start, this.at));
    return bare ? items[0]! : items;
  }

  private dictionary(depth: number): ArgumentValue {
    const entries = new Map<string, ArgumentValue>();
    while (!this.accept('}')) {
      const quote = this.line[this.at];
      if (quote !== "'" && quote !== '"') this.fail('a dict key must be a string');
      const key = this.string(quote);
      if (key === '__proto__' || key === '$number') this.fail(`dict key ${key} is reserved`);
      this.expect(':', 'after a dict key');
      entries.set(key, this.value(depth + 1)); // a repeated key keeps its last value, as in Python
      if (!this.accept(',') && !this.peek('}')) this.fail("',' or '}' is missing");
    }
    return Object.fromEntries(entries);
  }

  private number(): ArgumentValue {
    const text =
      this.take(/[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?(?![\w.])/y) ??
      this.fail('a value is missing or not understood');
    const digits = text.replaceAll('_', '');
    if (/__|_$|_[.eE]|\._/.test(text) || /^[+-]?0+[1-9]\d*$/.test(digits))
      this.fail(`${text.slice(0, 20)} is no number`);
    if (digits.length > MAX_INTEGER_DIGITS) this.fail(`a number has more than ${MAX_INTEGER_DIGITS} digits`);
    return jsonNumber(digits);
  }

  private string(quote: string): string {
    this.at++;
    let read = '';
    for (;;) {
      const next = this.line[this.at++];
      if (next === undefined) return this.fail('a string is not closed');
      if (next === quote) break;
      read += next === '\\' ? this.escape() : next;
    }
    if (/\p{Surrogate}/u.test(read)) this.fail('a string holds half of a surrogate pair');
    this.space();
    return read;
  }

  /** The character an escape stands for; Python keeps the backslash of one that it does not know. */
  private escape(): string {
    const next = this.line[this.at++] ?? this.fail('a string is not closed');
    if (Object.hasOwn(ESCAPES, next)) return ESCAPES[next]!;
    if (/[0-7]/.test(next)) {
      const octal = /[0-7]{1,3}/y;
      octal.lastIndex = this.at - 1;
      const digits = octal.exec(this.line)![0];
      this.at += digits.length - 1;
      return String.fromCodePoint(Number.parseInt(digits, 8));
    }
    const length = HEX_ESCAPES[next];
    if (length !== undefined) {
      const digits = this.line.slice(this.at, this.at + length);
      const code = new RegExp(`^[0-9a-fA-F]{${length}}$`).test(digits) ? Number.parseInt(digits, 16) : Infinity;
      if (code > 0x10ffff) this.fail(`\\${next} needs ${length} hexadecimal digits of a character`);
      this.at += length;
      return String.fromCodePoint(code);
    }
    return next === 'N' ? this.fail('\\N{...} is not understood') : `\\${next}`;
  }

  private space(): void {
    while (/\s/.test(this.line[this.at] ?? '')) this.at++;
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.line)?.[0];
    if (found === undefined) return undefined;
    this.at += found.length;
    this.space();
    return found;
  }

  private peek(character: string): boolean {
    return this.line[this.at] === character;
  }

  private accept(character: string): boolean {
    if (!this.peek(character)) return false;
    this.at++;
    this.space();
    return true;
  }

  private expect(character: string, where: string): void {
    if (!this.accept(character)) this.fail(`'${character}' is missing ${where.slice(0, 40)}`);
  }

  private fail(problem: string): never {
    throw new NotACall(`${problem} (column ${this.at + 1})`);
  }
}

function renderCallLine({ name, positional, keyword }: WellFormedCall): string {
  const named = Object.entries(keyword).map(([key, value]) => `${argumentNameInCallLine(key)}=${literal(value)}`);
  return `CALL ${name}(${[...positional.map(literal), ...named].join(', ')})`;
}

/** The name of an argument as a call line has it: in quotes unless it is a name in Python. */
export const argumentNameInCallLine = (name: string): string =>
  new RegExp(`^${NAME.source}$`, 'u').test(name) ? name : quoted(name);

/** A value as a Python literal on one line. */
function literal(value: ArgumentValue): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value['$number'] === 'string') return value['$number'];
  return `{${Object.entries(value)
    .map(([key, item]) => `${quoted(key)}: ${literal(item)}`)
    .join(', ')}}`;
}

const quoted = (text: string): string =>
  `'${text.replaceAll(/[\\'\p{Cc}\u2028\u2029]/gu, (c) => (c === '\\' || c === "'" ? `\\${c}` : `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`))}'`;
