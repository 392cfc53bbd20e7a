import { ExpressionParser } from './expressions.js';
import { tokensOf } from './lexer.js';
import type { Expression, MacroSignature, Statement, Target } from './syntax.js';
import { TokenStream } from './token-stream.js';

/**
 * A chat template as its statements: Jinja2 3.1.6 with transformers' settings (trim_blocks, lstrip_blocks, loop
 * controls, generation).
 * @throws {TemplateSyntaxFault} with the line, if it is no template or uses a tag that is not reproduced here
 */
export function parseTemplate(template: string): Statement[] {
  return new StatementParser(new TokenStream(tokensOf(template))).template();
}

class StatementParser {
  private readonly expressions: ExpressionParser;
  constructor(private readonly stream: TokenStream) {
    this.expressions = new ExpressionParser(stream);
  }

  template(): Statement[] {
    const statements = this.until();
    if (!this.stream.is('end')) throw this.stream.fault(`unexpected tag ${this.stream.current.text}`);
    return statements;
  }

  /** Statements up to a tag of one of these names, which is read up to its name. */
  private until(...endings: readonly string[]): Statement[] {
    const statements: Statement[] = [];
    for (;;) {
      const { line } = this.stream.current;
      if (this.stream.is('end')) {
        if (endings.length > 0)
          throw this.stream.fault(`the template ends, expected {% ${endings.join(' %} or {% ')} %}`);
        return statements;
      }
      if (this.stream.is('text')) statements.push({ kind: 'text', text: this.stream.next().text, line });
      else if (this.stream.is('variable_begin')) {
        this.stream.next();
        statements.push({ kind: 'output', value: this.expressions.tuple(), line });
        this.stream.expect('variable_end');
      } else {
        this.stream.expect('block_begin');
        const tag = this.stream.expect('name').text;
        if (endings.includes(tag)) {
          this.ending = tag;
          return statements;
        }
        statements.push(this.tag(tag, line));
      }
    }
  }
  private ending = '';
  private blockEnd(): void {
    this.stream.expect('block_end');
  }
  private body(...endings: readonly string[]): Statement[] {
    this.blockEnd();
    return this.until(...endings);
  }
  /** Whether a break would end a loop here. Blocks that are written to a text of their own are no part of a loop. */
  private inLoop = false;
  private closed(ending: string): Statement[] {
    const { inLoop } = this;
    this.inLoop &&= ending === 'endwith';
    const statements = this.body(ending);
    this.inLoop = inLoop;
    // {% endmacro name %} may repeat the name.
    if (ending === 'endmacro' && this.stream.is('name')) this.stream.next();
    this.blockEnd();
    return statements;
  }

  private tag(tag: string, line: number): Statement {
    switch (tag) {
      case 'if':
        return this.if(line);
      case 'for':
        return this.for(line);
      case 'set':
        return this.set(line);
      case 'macro': {
        const name = this.stream.expect('name').text;
        const signature = this.signature();
        return { kind: 'macro', name, signature, body: this.closed('endmacro'), line };
      }
      case 'call': {
        const signature = this.stream.is('operator', '(') ? this.signature() : { parameters: [] };
        const call = this.expressions.expression();
        if (call.kind !== 'call') throw this.stream.fault('expected a call');
        return { kind: 'call-block', call, signature, body: this.closed('endcall'), line };
      }
      case 'filter':
        return { kind: 'filter-block', filter: this.expressions.filters(null), body: this.closed('endfilter'), line };
      case 'with':
        return this.with(line);
      case 'generation':
        return { kind: 'generation', body: this.closed('endgeneration'), line };
      case 'break':
      case 'continue':
        if (!this.inLoop) throw this.stream.fault(`{% ${tag} %} stands outside of a loop, or in a block within one`);
        this.blockEnd();
        return { kind: tag, line };
      default:
        throw this.stream.fault(`the tag {% ${tag} %} is not reproduced here, or ends what was not begun`);
    }
  }

  private if(line: number): Statement {
    const branches: { test: Expression | null; body: Statement[] }[] = [];
    let test: Expression | null = this.expressions.tuple({ conditional: false });
    for (;;) {
      branches.push({ test, body: test === null ? this.body('endif') : this.body('elif', 'else', 'endif') });
      if (this.ending === 'endif') break;
      test = this.ending === 'else' ? null : this.expressions.tuple({ conditional: false });
    }
    this.blockEnd();
    return { kind: 'if', branches, line };
  }

  private for(line: number): Statement {
    const target = this.target(() => this.stream.is('name', 'in'));
    this.stream.expect('name', 'in');
    const items = this.expressions.tuple({ conditional: false, ends: () => this.stream.is('name', 'recursive') });
    const test = this.stream.skip('name', 'if') ? this.expressions.expression() : null;
    if (this.stream.is('name', 'recursive')) throw this.stream.fault('a recursive loop is not reproduced here');
    const { inLoop } = this;
    this.inLoop = true;
    const body = this.body('else', 'endfor');
    this.inLoop = inLoop;
    const otherwise = this.ending === 'else' ? this.body('endfor') : [];
    this.blockEnd();
    return { kind: 'for', target, items, test, body, otherwise, line };
  }

  private set(line: number): Statement {
    const target = this.target(() => this.stream.is('operator', '='));
    if (this.stream.skip('operator', '=')) {
      const value = this.expressions.tuple();
      this.blockEnd();
      return { kind: 'set', target, value, line };
    }
    const filter = this.stream.is('operator', '|') ? this.expressions.filters(null) : null;
    return { kind: 'set-block', target, filter, body: this.closed('endset'), line };
  }

  private with(line: number): Statement {
    const values: [Target, Expression][] = [];
    while (!this.stream.is('block_end')) {
      if (values.length > 0) this.stream.expect('operator', ',');
      const target = this.target(() => this.stream.is('operator', '='), false);
      this.stream.expect('operator', '=');
      values.push([target, this.expressions.expression()]);
    }
    return { kind: 'with', values, body: this.closed('endwith'), line };
  }

  /** What is assigned to: a name, a namespace's attribute, or several names with commas. */
  private target(ends: () => boolean, several = true): Target {
    const items: Target[] = [];
    let comma = false;
    do {
      if (ends() || this.stream.is('block_end')) break;
      items.push(this.oneTarget());
    } while (several && this.stream.skip('operator', ',') && (comma = true));
    if (items.length === 0) throw this.stream.fault('expected a name to assign to');
    return items.length === 1 && !comma ? items[0]! : { kind: 'tuple', items };
  }

  private oneTarget(): Target {
    if (this.stream.skip('operator', '(')) {
      const target = this.target(() => this.stream.is('operator', ')'));
      this.stream.expect('operator', ')');
      return target;
    }
    const name = this.stream.expect('name').text;
    if (!this.stream.skip('operator', '.')) return { kind: 'name', name };
    return { kind: 'attribute', of: name, name: this.stream.expect('name').text };
  }

  private signature(): MacroSignature {
    const parameters: { name: string; default: Expression | null }[] = [];
    this.stream.expect('operator', '(');
    while (!this.stream.is('operator', ')')) {
      if (parameters.length > 0) this.stream.expect('operator', ',');
      const name = this.stream.expect('name').text;
      parameters.push({ name, default: this.stream.skip('operator', '=') ? this.expressions.expression() : null });
    }
    this.stream.expect('operator', ')');
    return { parameters };
  }
}
