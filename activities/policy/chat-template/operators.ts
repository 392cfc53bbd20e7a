import { percentFormat } from './formatting.js';
import { arithmetic } from './numbers.js';
import { textOf } from './printing.js';
import { clamped } from './text.js';
import {
  at,
  defined,
  Dict,
  DictView,
  equal,
  isNumber,
  itemsOf,
  order,
  Range,
  sequenceOf,
  TemplateFault,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** Python's binary operators, and Jinja2's `~`. @throws {TemplateFault} where Python has no such operation */
export function binary(operator: string, left: Value, right: Value): Value {
  if (operator === '~') return textOf(left) + textOf(right);
  const [a, b] = [defined(left), defined(right)];
  if (operator === '+') {
    if (typeof a === 'string' && typeof b === 'string') return a + b;
    if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b];
    if (a instanceof Tuple && b instanceof Tuple) return new Tuple([...a.items, ...b.items]);
    if (typeof a === 'string' && !isNumber(a))
      throw new TemplateFault(`can only concatenate str (not "${typeName(b)}") to str`);
  }
  if (operator === '%' && typeof a === 'string') return percentFormat(a, b);
  if (operator === '*') {
    const [sequence, times] = isNumber(a) ? [b, a] : [a, b];
    if (typeof times === 'bigint' || typeof times === 'boolean') {
      const count = Math.max(0, Number(times));
      if (typeof sequence === 'string') return sequence.repeat(count);
      if (Array.isArray(sequence)) return Array.from({ length: count }, () => sequence).flat();
    }
  }
  return arithmetic(operator, a, b);
}

export function unary(operator: '-' | '+', value: Value): Value {
  if (!isNumber(defined(value)))
    throw new TemplateFault(`bad operand type for unary ${operator}: '${typeName(value)}'`);
  if (typeof value === 'number') return operator === '-' ? -value : value;
  return arithmetic('-', 0n, operator === '-' ? value : arithmetic('-', 0n, value));
}

/** Python's comparisons, `in` among them. */
export function compare(operator: string, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return equal(left, right);
    case '!=':
      return !equal(left, right);
    case 'in':
      return contains(right, left);
    case 'not in':
      return !contains(right, left);
  }
  const found = order(left, right, operator);
  if (Number.isNaN(found)) return false;
  return { '<': found < 0, '<=': found <= 0, '>': found > 0, '>=': found >= 0 }[operator]!;
}

export function contains(container: Value, item: Value): boolean {
  if (typeof container === 'string') {
    if (typeof item !== 'string')
      throw new TemplateFault(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    return container.includes(item);
  }
  if (container instanceof Dict) return container.has(item);
  for (const one of notIterable(container)) if (equal(one, item)) return true;
  return false;
}
function notIterable(value: Value): Iterable<Value> {
  const walks = typeof value === 'object' && value !== null;
  if (!walks) throw new TemplateFault(`argument of type '${typeName(value)}' is not iterable`);
  return itemsOf(value);
}

/** What `value[index]` is in Python; undefined where Python raises LookupError or TypeError. */
export function itemAt(value: Value, index: Value): Value | undefined {
  if (value instanceof Undefined) return defined(value);
  if (value instanceof Dict) return Array.isArray(index) || index instanceof Dict ? undefined : value.get(index);
  if (value instanceof DictView || typeof index === 'string') return undefined;
  const items = sequenceOf(value);
  const number = typeof index === 'boolean' ? (index ? 1n : 0n) : index;
  return items && typeof number === 'bigint' ? at(items, number) : undefined;
}

/** `value[start:stop:step]`, in code points of a str. */
export function slice(value: Value, bounds: readonly Value[]): Value {
  const items = sequenceOf(defined(value));
  if (!items) throw new TemplateFault(`'${typeName(value)}' object cannot be sliced`);
  const [start, stop, step] = [0, 1, 2].map((i) => {
    const bound = bounds[i] ?? null;
    if (bound === null || typeof bound === 'bigint') return bound;
    throw new TemplateFault('slice indices must be integers or None');
  });
  const by = step ?? 1n;
  if (by === 0n) throw new TemplateFault('slice step cannot be zero');
  const picked: Value[] = [];
  if (by > 0n) {
    const end = clamped(stop ?? BigInt(items.length), items.length);
    for (let i = clamped(start ?? 0n, items.length); i < end; i += Number(by)) picked.push(items[i]!);
  } else {
    const lowest = (bound: bigint): number =>
      bound < 0n ? Math.max(-1, Number(bound) + items.length) : Math.min(Number(bound), items.length - 1);
    const end = stop === null || stop === undefined ? -1 : lowest(stop);
    for (let i = start === null || start === undefined ? items.length - 1 : lowest(start); i > end; i += Number(by))
      picked.push(items[i]!);
  }
  if (typeof value === 'string') return picked.join('');
  if (value instanceof Range) throw new TemplateFault('a slice of a range is not reproduced here');
  return value instanceof Tuple ? new Tuple(picked) : picked;
}
