import { TemplateSyntaxFault, type Token, type TokenKind } from './lexer.js';

/** Tokens one after the other, with what a parser asks of them. */
export class TokenStream {
  private position = 0;
  constructor(private readonly tokens: readonly Token[]) {}

  get current(): Token {
    return this.tokens[this.position]!;
  }
  get following(): Token {
    return this.tokens[Math.min(this.position + 1, this.tokens.length - 1)]!;
  }
  next(): Token {
    const token = this.current;
    if (token.kind !== 'end') this.position += 1;
    return token;
  }
  is(kind: TokenKind, ...texts: readonly string[]): boolean {
    return this.current.kind === kind && (texts.length === 0 || texts.includes(this.current.text));
  }
  skip(kind: TokenKind, text: string): boolean {
    const found = this.is(kind, text);
    if (found) this.next();
    return found;
  }
  expect(kind: TokenKind, text?: string): Token {
    if (this.is(kind, ...(text === undefined ? [] : [text]))) return this.next();
    throw this.fault(
      `expected ${text ?? kind}, found ${this.current.text === '' ? 'the end' : JSON.stringify(this.current.text)}`,
    );
  }
  fault(message: string): TemplateSyntaxFault {
    return new TemplateSyntaxFault(message, this.current.line);
  }
}
