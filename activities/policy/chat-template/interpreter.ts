import { getAttribute, getItem } from './access.js';
import { or } from './arguments.js';
import { FILTERS } from './filters.js';
import { globals, setAttribute } from './globals.js';
import { binary, compare, slice, unary } from './operators.js';
import { textOf } from './printing.js';
import { namesRead } from './parts.js';
import { Broken, FaultAtLine, LoopSignal, Scope } from './scope.js';
import type { Argument, Expression, MacroSignature, Statement, Target } from './syntax.js';
import { TESTS } from './tests.js';
import {
  Callable,
  defined,
  Dict,
  itemsOf,
  Loop,
  Namespace,
  NotReproduced,
  TemplateFault,
  truthOf,
  Tuple,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from './values.js';

/**
 * The text of a template for the variables given.
 * @param now what the clock shows, see strftime
 * @throws {FaultAtLine} where Jinja2 raises too, or does what is not reproduced here
 */
export function renderTemplate(
  statements: readonly Statement[],
  variables: ReadonlyMap<string, Value>,
  now: string,
): string {
  const scope = new Scope(null);
  for (const [name, value] of globals(now)) scope.set(name, value);
  const template = new Scope(scope);
  for (const [name, value] of variables) template.set(name, value);
  return new Interpreter().rendered(statements, template);
}

class Interpreter {
  private line = 1;

  rendered(statements: readonly Statement[], scope: Scope): string {
    try {
      return this.all(statements, scope);
    } catch (error) {
      if (error instanceof TemplateFault) throw new FaultAtLine(error, this.line);
      // Calls without an end, or texts without bounds.
      if (error instanceof RangeError) throw new FaultAtLine(new TemplateFault(error.message), this.line);
      throw error;
    }
  }

  private all(statements: readonly Statement[], scope: Scope): string {
    let text = '';
    for (const statement of statements) {
      try {
        text += this.one(statement, scope);
      } catch (error) {
        // What was written before a break stays written.
        if (error instanceof Broken) throw new Broken(error.signal, text + error.text);
        if (error instanceof LoopSignal) throw new Broken(error, text);
        throw error;
      }
    }
    return text;
  }

  private one(statement: Statement, scope: Scope): string {
    this.line = statement.line;
    switch (statement.kind) {
      case 'text':
        return statement.text;
      case 'output':
        return textOf(this.value(statement.value, scope));
      case 'if': {
        const branch = statement.branches.find(({ test }) => test === null || truthOf(this.value(test, scope)));
        return branch ? this.all(branch.body, scope) : '';
      }
      case 'for':
        return this.for(statement, scope);
      case 'set':
        this.assign(statement.target, this.value(statement.value, scope), scope);
        return '';
      case 'set-block':
        this.assign(
          statement.target,
          this.filtered(statement.filter, this.all(statement.body, new Scope(scope)), scope),
          scope,
        );
        return '';
      case 'macro':
        scope.set(statement.name, this.macro(statement.name, statement.signature, statement.body, scope));
        return '';
      case 'call-block': {
        const { call } = statement;
        if (call.kind !== 'call') return '';
        const caller = this.macro('caller', statement.signature, statement.body, scope);
        const given = this.given(call.args, scope);
        return textOf(
          this.called(this.value(call.of, scope), { ...given, named: new Map([...given.named, ['caller', caller]]) }),
        );
      }
      case 'filter-block':
        return textOf(this.filtered(statement.filter, this.all(statement.body, new Scope(scope)), scope));
      case 'with': {
        const inner = new Scope(scope);
        for (const [target, value] of statement.values) this.assign(target, this.value(value, scope), inner);
        return this.all(statement.body, inner);
      }
      case 'generation':
        return this.all(statement.body, new Scope(scope));
      default:
        throw new LoopSignal(statement.kind);
    }
  }

  private for(statement: Statement & { kind: 'for' }, scope: Scope): string {
    const given = [...itemsOf(this.value(statement.items, scope))];
    const items = given.filter((item) => {
      if (statement.test === null) return true;
      const inner = new Scope(scope);
      this.assign(statement.target, item, inner);
      return truthOf(this.value(statement.test, inner));
    });
    // Jinja2 notes at the end of a loop's body that it had something to do: not where every pass was left before.
    let isPassed = false;
    const loop = new Loop(items);
    let text = '';
    for (const [i, item] of items.entries()) {
      loop.index0 = i;
      const inner = new Scope(scope);
      inner.set('loop', loop);
      this.assign(statement.target, item, inner);
      try {
        text += this.all(statement.body, inner);
        isPassed = true;
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        text += error.text;
        if (error.signal.kind === 'break') break;
      }
    }
    return isPassed ? text : text + this.all(statement.otherwise, new Scope(scope));
  }

  private assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === 'name') return scope.set(target.name, value);
    if (target.kind === 'attribute') {
      const namespace = scope.get(target.of);
      if (!(namespace instanceof Namespace))
        throw new TemplateFault(`cannot assign attribute ${target.name} on a non-namespace object`);
      return setAttribute(namespace, target.name, value);
    }
    const items = [...itemsOf(value)];
    if (items.length !== target.items.length)
      throw new TemplateFault(`cannot unpack ${items.length} values into ${target.items.length} names`);
    target.items.forEach((one, i) => this.assign(one, items[i]!, scope));
  }

  private macro(name: string, { parameters }: MacroSignature, body: readonly Statement[], scope: Scope): Callable {
    const readsCaller = namesRead(body).has('caller');
    return new Callable(name, ({ positional, named }) => {
      const inner = new Scope(scope);
      const names = parameters.map((parameter) => parameter.name);
      if (positional.length > names.length)
        throw new TemplateFault(`macro '${name}' takes not more than ${names.length} argument(s)`);
      for (const [key, value] of named) {
        if (key === 'caller' && readsCaller) inner.set(key, value);
        else if (!names.includes(key) || names.indexOf(key) < positional.length)
          throw new TemplateFault(`macro '${name}' takes no keyword argument '${key}'`);
      }
      parameters.forEach((parameter, i) => {
        const found = i < positional.length ? positional[i] : named.get(parameter.name);
        const otherwise = (): Value =>
          parameter.default
            ? this.value(parameter.default, inner)
            : new Undefined(`parameter '${parameter.name}' was not provided`);
        inner.set(parameter.name, found === undefined ? otherwise() : found);
      });
      const { line } = this;
      const text = this.all(body, inner);
      this.line = line;
      return text;
    });
  }

  private given(args: readonly Argument[], scope: Scope): Arguments {
    const positional: Value[] = [];
    const named = new Map<string, Value>();
    for (const { name, value } of args) {
      if (name === null) positional.push(this.value(value, scope));
      else named.set(name, this.value(value, scope));
    }
    return { positional, named };
  }

  private called(callee: Value, given: Arguments): Value {
    if (callee instanceof Callable) return callee.call(given);
    throw new TemplateFault(`'${typeName(defined(callee))}' object is not callable`);
  }

  private filtered(filter: Expression | null, value: Value, scope: Scope): Value {
    if (filter === null) return value;
    if (filter.kind !== 'filter') throw new NotReproduced('what is no filter');
    return FILTERS[filter.name]!(this.filtered(filter.of, value, scope), this.given(filter.args, scope));
  }

  private value(node: Expression, scope: Scope): Value {
    this.line = node.line;
    switch (node.kind) {
      case 'constant':
        return node.value;
      case 'name':
        return or(scope.get(node.name), new Undefined(`'${node.name}' is undefined`));
      case 'tuple':
        return new Tuple(node.items.map((item) => this.value(item, scope)));
      case 'list':
        return node.items.map((item) => this.value(item, scope));
      case 'dict':
        return new Dict(node.pairs.map(([key, value]) => [this.value(key, scope), this.value(value, scope)] as const));
      case 'attribute':
        return getAttribute(this.value(node.of, scope), node.name);
      case 'item':
        return getItem(this.value(node.of, scope), this.value(node.index, scope));
      case 'slice':
        return slice(
          this.value(node.of, scope),
          node.bounds.map((bound) => (bound === null ? null : this.value(bound, scope))),
        );
      case 'call':
        return this.called(this.value(node.of, scope), this.given(node.args, scope));
      case 'filter':
        return FILTERS[node.name]!(this.value(node.of!, scope), this.given(node.args, scope));
      case 'test':
        return TESTS[node.name]!(this.value(node.of, scope), ...this.given(node.args, scope).positional);
      case 'unary': {
        const value = this.value(node.of, scope);
        return node.operator === 'not' ? !truthOf(value) : unary(node.operator, value);
      }
      case 'binary':
        return this.binary(node, scope);
      case 'compare':
        return this.comparison(node, scope);
      case 'condition':
        if (truthOf(this.value(node.test, scope))) return this.value(node.chosen, scope);
        return node.otherwise
          ? this.value(node.otherwise, scope)
          : new Undefined('the inline if-expression evaluated to false and no else section was defined.');
    }
  }

  private binary(node: Expression & { kind: 'binary' }, scope: Scope): Value {
    const left = this.value(node.left, scope);
    if (node.operator === 'and') return truthOf(left) ? this.value(node.right, scope) : left;
    if (node.operator === 'or') return truthOf(left) ? left : this.value(node.right, scope);
    return binary(node.operator, left, this.value(node.right, scope));
  }

  private comparison(node: Expression & { kind: 'compare' }, scope: Scope): boolean {
    let left = this.value(node.first, scope);
    for (const [operator, expression] of node.rest) {
      const right = this.value(expression, scope);
      if (!compare(operator, left, right)) return false;
      left = right;
    }
    return true;
  }
}
