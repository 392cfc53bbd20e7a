import { jsonNumber, MAX_DEPTH, type ArgumentValue } from './notation.js';

/** The problem of a value that the text ends in. */
export const NOT_CLOSED = 'it is not closed';

/** What is wrong, and at which character of the text. */
export class NotJson extends Error {
  constructor(
    readonly problem: string,
    readonly at: number,
  ) {
    super(problem);
  }
}

/** What other languages write where JSON has another word, or none. */
const FOREIGN: Readonly<Record<string, string>> = {
  True: 'True is written true in JSON',
  False: 'False is written false in JSON',
  None: 'None is written null in JSON',
  undefined: 'undefined is no JSON value',
  NaN: 'NaN is no JSON value',
  Infinity: 'Infinity is no JSON value',
};
const WORDS: Readonly<Record<string, boolean | null>> = { true: true, false: false, null: null };
const CLOSES: Readonly<Record<string, string>> = { '{': '}', '[': ']' };

/**
 * The one JSON value that begins at a place of a longer text, read strictly, and where it ends: tags inside its strings
 * are strings. `JSON.parse` takes a whole text only, alters numbers, and words its errors otherwise on each Node version.
 *
 * @param levels  containers around the arguments, which the limit of nesting does not count
 * @returns numbers that JavaScript would alter as `{ "$number": text }`; a repeated key keeps its last value
 * @throws {NotJson}
 */
export function jsonValueAt(text: string, at: number, levels: number): { value: ArgumentValue; end: number } {
  const reader = new JsonReader(text, at, MAX_DEPTH + levels);
  return { value: reader.value(0), end: reader.at };
}

class JsonReader {
  constructor(
    private readonly text: string,
    public at: number,
    private readonly maxDepth: number,
  ) {}

  value(depth: number): ArgumentValue {
    this.space();
    const next = this.text[this.at] ?? this.fail(NOT_CLOSED);
    if (next === '"') return this.string();
    if (next === '{' || next === '[') {
      if (depth >= this.maxDepth) this.fail(`a value is nested more than ${MAX_DEPTH} deep`);
      this.at++;
      return next === '{' ? this.object(depth) : this.array(depth);
    }
    const number = this.take(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])/y);
    if (number !== undefined) return jsonNumber(number);
    const word = /[A-Za-z]+/y;
    word.lastIndex = this.at;
    const found = word.exec(this.text)?.[0];
    if (found !== undefined && Object.hasOwn(WORDS, found)) {
      this.at += found.length;
      return WORDS[found]!;
    }
    return this.fail(this.noValue(next, found));
  }

  private noValue(next: string, word: string | undefined): string {
    if (word !== undefined && Object.hasOwn(FOREIGN, word)) return FOREIGN[word]!;
    if (word !== undefined) return `${word.slice(0, 20)} is no JSON value; quote a text`;
    if (next === "'" || next === '“' || next === '”') return 'a text stands in double quotes in JSON';
    if (next === '`') return 'a code fence stands where a value is expected';
    if (this.text.startsWith('-Infinity', this.at)) return FOREIGN['Infinity']!;
    const number = /^[-+.\d][-+.\w]*/.exec(this.text.slice(this.at, this.at + 20))?.[0];
    if (number !== undefined) return `${number} is no JSON number`;
    if (this.text.startsWith('//', this.at) || this.text.startsWith('/*', this.at)) return 'JSON has no comments';
    return `${JSON.stringify(next)} stands where a value is expected`;
  }

  private array(depth: number): ArgumentValue[] {
    const items: ArgumentValue[] = [];
    while (!this.closed('[', items.length > 0)) items.push(this.value(depth + 1));
    return items;
  }

  private object(depth: number): Record<string, ArgumentValue> {
    const entries = new Map<string, ArgumentValue>();
    while (!this.closed('{', entries.size > 0)) {
      this.space();
      const next = this.text[this.at];
      if (next === undefined) this.fail(NOT_CLOSED);
      if (next !== '"') this.fail(`a key stands in double quotes in JSON, found ${JSON.stringify(next)}`);
      const start = this.at;
      const key = this.string();
      if (key === '__proto__' || key === '$number') this.fail(`key ${key} is reserved`, start);
      this.space();
      if (this.text[this.at] !== ':') this.fail("':' is missing after a key");
      this.at++;
      entries.set(key, this.value(depth + 1));
    }
    return Object.fromEntries(entries);
  }

  /** Takes the end of a container, or the comma before a further item. */
  private closed(opening: string, further: boolean): boolean {
    const closing = CLOSES[opening]!;
    this.space();
    const next = this.text[this.at];
    if (next === closing) {
      this.at++;
      return true;
    }
    if (next === undefined) this.fail(NOT_CLOSED);
    if (!further) return false;
    if (next !== ',') this.fail(`',' or '${closing}' is missing`);
    const comma = this.at++;
    this.space();
    if (this.text[this.at] === closing) this.fail(`a comma stands before '${closing}'`, comma);
    return false;
  }

  private string(): string {
    const start = this.at++;
    for (;;) {
      const next = this.text[this.at];
      if (next === undefined) return this.fail('a text is not closed', start);
      if (next === '"') break;
      if (next < ' ') this.fail(rawControl(next));
      if (next === '\\' && !this.escaped()) this.fail(`${this.text.slice(this.at, this.at + 2)} is no escape in JSON`);
      this.at += next === '\\' ? 2 : 1;
    }
    return JSON.parse(this.text.slice(start, ++this.at)) as string;
  }

  private escaped(): boolean {
    const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
    escape.lastIndex = this.at;
    return escape.test(this.text);
  }

  private space(): void {
    while (/[ \t\r\n]/.test(this.text[this.at] ?? '')) this.at++;
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  private fail(problem: string, at = this.at): never {
    throw new NotJson(problem, at);
  }
}

function rawControl(character: string): string {
  const written = JSON.stringify(character).slice(1, -1);
  return `a text holds a raw ${/[\n\r]/.test(character) ? 'line break' : 'control character'}: write ${written}`;
}
