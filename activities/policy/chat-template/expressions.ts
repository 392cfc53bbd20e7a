import type { TokenStream } from './token-stream.js';
import type { Argument, Expression } from './syntax.js';

const CONSTANTS: Readonly<Record<string, null | boolean>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};
const COMPARISONS = ['==', '!=', '<', '<=', '>', '>='];

/** Expressions as Jinja2 3.1.6 reads them (jinja2/parser.py), its precedences included. */
export class ExpressionParser {
  constructor(private readonly stream: TokenStream) {}

  /** An expression, with `a if b else c` unless that is left to what stands around it. */
  expression(conditional = true): Expression {
    return conditional ? this.conditional() : this.either();
  }

  /** One expression, or several with commas: a tuple. @param ends does the text end here? Then no further item follows. */
  tuple({
    conditional = true,
    parenthesised = false,
    ends = () => false,
  }: {
    conditional?: boolean;
    parenthesised?: boolean;
    ends?: () => boolean;
  } = {}): Expression {
    const { line } = this.stream.current;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) {
        if (!this.stream.is('operator', ',')) break;
        this.stream.next();
      }
      if (this.stream.is('variable_end') || this.stream.is('block_end') || this.stream.is('operator', ')') || ends())
        break;
      items.push(this.expression(conditional));
      if (!this.stream.is('operator', ',')) break;
      isTuple = true;
    }
    if (!isTuple && items.length === 1) return items[0]!;
    if (items.length === 0 && !parenthesised) throw this.stream.fault('expected an expression');
    return { kind: 'tuple', items, line };
  }

  private conditional(): Expression {
    const { line } = this.stream.current;
    let value = this.either();
    while (this.stream.skip('name', 'if')) {
      const test = this.either();
      const otherwise = this.stream.skip('name', 'else') ? this.conditional() : null;
      value = { kind: 'condition', test, chosen: value, otherwise, line };
    }
    return value;
  }

  private either(): Expression {
    return this.chain(['or'], 'name', () => this.both());
  }
  private both(): Expression {
    return this.chain(['and'], 'name', () => this.negation());
  }
  private negation(): Expression {
    const { line } = this.stream.current;
    if (this.stream.skip('name', 'not')) return { kind: 'unary', operator: 'not', of: this.negation(), line };
    return this.comparison();
  }
  private comparison(): Expression {
    const { line } = this.stream.current;
    const first = this.sum();
    const rest: [string, Expression][] = [];
    for (;;) {
      if (this.stream.is('operator', ...COMPARISONS)) rest.push([this.stream.next().text, this.sum()]);
      else if (this.stream.skip('name', 'in')) rest.push(['in', this.sum()]);
      else if (
        this.stream.is('name', 'not') &&
        this.stream.following.kind === 'name' &&
        this.stream.following.text === 'in'
      ) {
        this.stream.next();
        this.stream.next();
        rest.push(['not in', this.sum()]);
      } else break;
    }
    return rest.length === 0 ? first : { kind: 'compare', first, rest, line };
  }
  private sum(): Expression {
    return this.chain(['+', '-'], 'operator', () => this.concatenation());
  }
  private concatenation(): Expression {
    return this.chain(['~'], 'operator', () => this.product());
  }
  private product(): Expression {
    return this.chain(['*', '/', '//', '%'], 'operator', () => this.power());
  }
  private power(): Expression {
    return this.chain(['**'], 'operator', () => this.unary(true));
  }
  private chain(operators: readonly string[], kind: 'operator' | 'name', part: () => Expression): Expression {
    const { line } = this.stream.current;
    let left = part();
    while (this.stream.is(kind, ...operators))
      left = { kind: 'binary', operator: this.stream.next().text, left, right: part(), line };
    return left;
  }

  private unary(filtered: boolean): Expression {
    const { line } = this.stream.current;
    let value: Expression;
    if (this.stream.is('operator', '-', '+'))
      value = { kind: 'unary', operator: this.stream.next().text as '-' | '+', of: this.unary(false), line };
    else value = this.primary();
    value = this.postfixes(value);
    return filtered ? this.filtersAndTests(value) : value;
  }

  private primary(): Expression {
    const token = this.stream.current;
    const { line } = token;
    if (token.kind === 'name') {
      this.stream.next();
      return token.text in CONSTANTS
        ? { kind: 'constant', value: CONSTANTS[token.text]!, line }
        : { kind: 'name', name: token.text, line };
    }
    if (token.kind === 'string') {
      let text = '';
      while (this.stream.is('string')) text += this.stream.next().text;
      return { kind: 'constant', value: text, line };
    }
    if (token.kind === 'integer') {
      const digits = this.stream.next().text.replaceAll('_', '');
      return { kind: 'constant', value: BigInt(/^0+$/.test(digits) ? '0' : digits.toLowerCase()), line };
    }
    if (token.kind === 'float')
      return { kind: 'constant', value: Number(this.stream.next().text.replaceAll('_', '')), line };
    if (this.stream.skip('operator', '(')) {
      const value = this.tuple({ parenthesised: true });
      this.stream.expect('operator', ')');
      return value;
    }
    if (this.stream.skip('operator', '['))
      return { kind: 'list', items: this.separated(']', () => this.expression()), line };
    if (this.stream.skip('operator', '{')) return { kind: 'dict', pairs: this.separated('}', () => this.pair()), line };
    throw this.stream.fault(
      `unexpected ${token.text === '' ? 'end' : JSON.stringify(token.text)}, expected an expression`,
    );
  }

  private pair(): readonly [Expression, Expression] {
    const key = this.expression();
    this.stream.expect('operator', ':');
    return [key, this.expression()];
  }

  private separated<T>(close: string, part: () => T): T[] {
    const parts: T[] = [];
    while (!this.stream.is('operator', close)) {
      if (parts.length > 0) this.stream.expect('operator', ',');
      if (this.stream.is('operator', close)) break;
      parts.push(part());
    }
    this.stream.expect('operator', close);
    return parts;
  }

  postfixes(value: Expression): Expression {
    for (;;) {
      const { line } = this.stream.current;
      if (this.stream.skip('operator', '.')) value = this.dotted(value, line);
      else if (this.stream.skip('operator', '[')) value = this.subscript(value, line);
      else if (this.stream.is('operator', '(')) value = { kind: 'call', of: value, args: this.args(), line };
      else return value;
    }
  }

  private dotted(of: Expression, line: number): Expression {
    if (this.stream.is('name')) return { kind: 'attribute', of, name: this.stream.next().text, line };
    const index: Expression = { kind: 'constant', value: BigInt(this.stream.expect('integer').text), line };
    return { kind: 'item', of, index, line };
  }

  private subscript(of: Expression, line: number): Expression {
    const ends = (): boolean => this.stream.is('operator', ':', ']', ',');
    const bounds: (Expression | null)[] = [ends() ? null : this.expression()];
    while (this.stream.skip('operator', ':')) bounds.push(ends() ? null : this.expression());
    if (this.stream.is('operator', ',')) throw this.stream.fault('an index of several values is not reproduced here');
    this.stream.expect('operator', ']');
    if (bounds.length > 3) throw this.stream.fault('a slice has three parts at most');
    if (bounds.length > 1) return { kind: 'slice', of, bounds, line };
    if (bounds[0] === null || bounds[0] === undefined) throw this.stream.fault('expected a subscript');
    return { kind: 'item', of, index: bounds[0], line };
  }

  args(): Argument[] {
    this.stream.expect('operator', '(');
    return this.separated(')', () => {
      if (this.stream.is('operator', '*', '**'))
        throw this.stream.fault(`${this.stream.current.text} in a call's arguments is not reproduced here`);
      const named =
        this.stream.is('name') && this.stream.following.kind === 'operator' && this.stream.following.text === '=';
      const name = named ? this.stream.next().text : null;
      if (named) this.stream.next();
      return { name, value: this.expression() };
    });
  }

  private filtersAndTests(value: Expression): Expression {
    for (;;) {
      const { line } = this.stream.current;
      if (this.stream.is('operator', '|')) value = this.filters(value);
      else if (this.stream.skip('name', 'is')) value = this.test(value, line);
      else if (this.stream.is('operator', '(')) value = { kind: 'call', of: value, args: this.args(), line };
      else return value;
    }
  }

  /** `|name(...)`, as many as follow. @param of null: what a block holds; then the first bar is not written */
  filters(of: Expression | null): Expression {
    let value = of;
    for (let first = true; this.stream.is('operator', '|') || (first && of === null); first = false) {
      const { line } = this.stream.current;
      if (this.stream.is('operator', '|')) this.stream.next();
      const name = this.dottedName();
      value = { kind: 'filter', of: value, name, args: this.stream.is('operator', '(') ? this.args() : [], line };
    }
    return value!;
  }

  private dottedName(): string {
    let name = this.stream.expect('name').text;
    while (this.stream.skip('operator', '.')) name += `.${this.stream.expect('name').text}`;
    return name;
  }

  private test(of: Expression, line: number): Expression {
    const negated = this.stream.skip('name', 'not');
    const name = this.dottedName();
    let args: Argument[] = [];
    const token = this.stream.current;
    const begins = ['name', 'string', 'integer', 'float'].includes(token.kind) || this.stream.is('operator', '[', '{');
    if (this.stream.is('operator', '(')) args = this.args();
    else if (begins && !this.stream.is('name', 'else', 'or', 'and')) {
      if (this.stream.is('name', 'is')) throw this.stream.fault('tests cannot be chained with is');
      args = [{ name: null, value: this.postfixes(this.primary()) }];
    }
    const test: Expression = { kind: 'test', of, name, args, line };
    return negated ? { kind: 'unary', operator: 'not', of: test, line } : test;
  }
}
