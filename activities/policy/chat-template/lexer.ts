import { TemplateFault } from './values.js';

export type TokenKind =
  | 'text'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'block_begin'
  | 'block_end'
  | 'variable_begin'
  | 'variable_end'
  | 'end';
export interface Token {
  readonly kind: TokenKind;
  /** Of a string what it means, of all others what is written. */
  readonly text: string;
  readonly line: number;
}

/** A template that cannot be read: the line, counted from 1, goes before its message. */
export class TemplateSyntaxFault extends TemplateFault {
  override readonly name = 'TemplateSyntaxFault';
  constructor(
    message: string,
    readonly line: number,
  ) {
    super(message);
  }
}

/** Python's white space; JavaScript's \s has the byte order mark and lacks four control characters and U+0085. */
export const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const trailing = new RegExp(`[${SPACE}]+$`);
const leading = new RegExp(`[${SPACE}]*`, 'y');

/** What stands within tags, in the order in which Jinja2's lexer tries it. */
const expression = new RegExp(
  [
    `(?<space>[${SPACE}]+)`,
    '(?<float>(?<!\\.)(?:\\d+_)*\\d+(?:(?:\\.(?:\\d+_)*\\d+)?[eE][+-]?(?:\\d+_)*\\d+|\\.(?:\\d+_)*\\d+))',
    '(?<integer>0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\\da-fA-F])+|[1-9](?:_?\\d)*|0(?:_?0)*)',
    '(?<name>[\\p{L}\\p{N}_\\p{M}]+)',
    `(?<string>'(?:[^'\\\\]|\\\\[\\s\\S])*'|"(?:[^"\\\\]|\\\\[\\s\\S])*")`,
    '(?<operator>\\*\\*|//|==|!=|>=|<=|[-+/*%~[\\](){}<>=.:|,;])',
  ].join('|'),
  'uy',
);

/**
 * A template as tokens, with trim_blocks and lstrip_blocks as transformers sets them.
 * @throws {TemplateSyntaxFault} if a tag is not closed or holds what no expression has
 */
export function tokensOf(template: string): Token[] {
  // Jinja2 reads every line end as \n and drops the last one.
  const source = template.replaceAll(/\r\n?/g, '\n').replace(/\n$/, '');
  const tokens: Token[] = [];
  let [at, line] = [0, 1];
  /** Does what follows begin a line? Then lstrip_blocks takes the blanks before a tag away. */
  let startsLine = true;
  const moveTo = (end: number): void => {
    if (end === at) return;
    line += source.slice(at, end).split('\n').length - 1;
    startsLine = source[end - 1] === '\n';
    at = end;
  };
  const add = (kind: TokenKind, text: string): void => void tokens.push({ kind, text, line });
  /** Text up to a tag; `sign` is what follows the tag's opening, `strips` whether lstrip_blocks means it. */
  const addText = (end: number, sign: string | undefined, strips: boolean): void => {
    let text = source.slice(at, end);
    if (sign === '-') text = text.replace(trailing, '');
    else if (sign !== '+' && strips) {
      const lineStart = text.lastIndexOf('\n') + 1;
      const blank = lineStart < text.length && text.slice(lineStart).replace(trailing, '') === '';
      if (blank && (lineStart > 0 || startsLine)) text = text.slice(0, lineStart);
    }
    if (text !== '') add('text', text);
  };
  /** Moves behind a closing mark, with the blanks of `-%}` or the line end of trim_blocks. */
  const close = (mark: string, minus: boolean, trims: boolean, from: number): void => {
    let end = from + mark.length;
    if (minus) {
      leading.lastIndex = end;
      end += leading.exec(source)![0].length;
    } else if (trims && source[end] === '\n') end += 1;
    moveTo(end);
  };

  for (;;) {
    const found = /\{[{%#]/g;
    found.lastIndex = at;
    const opening = found.exec(source);
    if (!opening) {
      if (at < source.length) add('text', source.slice(at));
      add('end', '');
      return tokens;
    }
    const kind = opening[0];
    const sign = /[-+]/.exec(source[opening.index + 2] ?? '')?.[0];
    addText(opening.index, sign, kind !== '{{');
    const inside = opening.index + (sign ? 3 : 2);
    if (kind === '{#') {
      const comment = /([-+]?)#\}/g;
      comment.lastIndex = inside;
      const ending = comment.exec(source);
      if (!ending) throw new TemplateSyntaxFault('a comment is not closed by #}', line);
      close(ending[0], ending[1] === '-', ending[1] === '', ending.index);
      continue;
    }
    const raw = new RegExp(`\\{%[-+]?[${SPACE}]*raw[${SPACE}]*(-?)%\\}`, 'y');
    raw.lastIndex = opening.index;
    const rawTag = raw.exec(source);
    if (rawTag) {
      close(rawTag[0], rawTag[1] === '-', false, opening.index);
      const endraw = new RegExp(`\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*([-+]?)%\\}`, 'g');
      endraw.lastIndex = at;
      const ending = endraw.exec(source);
      if (!ending) throw new TemplateSyntaxFault('raw is not closed by endraw', line);
      addText(ending.index, ending[1] || undefined, true);
      close(ending[0], ending[2] === '-', ending[2] === '', ending.index);
      continue;
    }
    const isBlock = kind === '{%';
    moveTo(opening.index);
    add(isBlock ? 'block_begin' : 'variable_begin', kind);
    moveTo(inside);
    inTag(isBlock);
  }

  function inTag(isBlock: boolean): void {
    const opened = line;
    /** Brackets that are open: `}}` ends a tag only outside of them. */
    const open: string[] = [];
    const ending = isBlock ? /([-+]?)%\}/y : /(-?)\}\}/y;
    for (;;) {
      ending.lastIndex = at;
      const end = open.length === 0 ? ending.exec(source) : null;
      if (end) {
        add(isBlock ? 'block_end' : 'variable_end', end[0]);
        close(end[0], end[1] === '-', isBlock && end[1] === '', at);
        return;
      }
      expression.lastIndex = at;
      const groups = expression.exec(source)?.groups;
      if (!groups) {
        const what =
          at >= source.length
            ? 'a tag is not closed'
            : `${JSON.stringify(source.slice(at, at + 12))} begins nothing that Jinja2 knows`;
        throw new TemplateSyntaxFault(what, at >= source.length ? opened : line);
      }
      const [kind, text] = Object.entries(groups).find(([, found]) => found !== undefined) as [string, string];
      if (kind === 'operator') {
        if ('([{'.includes(text)) open.push(text);
        if (')]}'.includes(text)) {
          if (`${open.pop() ?? ''}${text}`.match(/^(\(\)|\[\]|\{\})$/) === null)
            throw new TemplateSyntaxFault(`unexpected ${text}`, line);
        }
      }
      if (kind !== 'space') add(kind as TokenKind, kind === 'string' ? unescaped(text.slice(1, -1), line) : text);
      moveTo(at + text.length);
    }
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
  '\n': '',
};

/** A string's escapes as Python reads them; an escape that Python does not know keeps its backslash. */
function unescaped(text: string, line: number): string {
  return text.replaceAll(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
    (whole, x, u, long, octal, other: string | undefined) => {
      const hex = (x ?? u ?? long) as string | undefined;
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal as string, 8));
      if ('xuUN'.includes(other!))
        throw new TemplateSyntaxFault(`the escape \\${other} in a string is not reproduced here`, line);
      return ESCAPES[other!] ?? whole;
    },
  );
}
