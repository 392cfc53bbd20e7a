/**
 * Python's values as chat templates see them: None is null, a bool a boolean, an int a bigint, a float a number, a str a
 * string, a list an array. What JavaScript has no counterpart of is a class here.
 */
export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Value[]
  | Tuple
  | Dict
  | DictView
  | Iteration
  | Range
  | Callable
  | Namespace
  | Loop
  | Undefined;

/** A template that cannot be rendered, or not as Jinja2 would render it; without its file and line, which the shell adds. */
export class TemplateFault extends Error {
  override readonly name: string = 'TemplateFault';
}

/** Something that Python or Jinja2 has and this interpreter does not: refused, never done otherwise. */
export class NotReproduced extends TemplateFault {
  constructor(what: string) {
    super(`${what}, which is not reproduced here`);
  }
}

/** Jinja2's value of names and keys that are not there: prints nothing, is false, and any use of it is an error. */
export class Undefined {
  constructor(readonly reason: string) {}
}

export class Tuple {
  constructor(readonly items: readonly Value[]) {}
}

/** What `map`, `select`, `items` and others give: walked once, always true, without a length. */
export class Iteration implements Iterable<Value> {
  private readonly iterator: Iterator<Value>;
  constructor(items: Iterable<Value>) {
    this.iterator = items[Symbol.iterator]();
  }
  [Symbol.iterator](): Iterator<Value> {
    return this.iterator;
  }
}

export class Range {
  readonly items: readonly bigint[];
  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly step: bigint,
  ) {
    if (step === 0n) throw new TemplateFault('range() arg 3 must not be zero');
    const items: bigint[] = [];
    for (let at = start; step > 0n ? at < stop : at > stop; at += step) {
      items.push(at);
      // Jinja2's sandbox has the same bound.
      if (items.length > 100_000) throw new TemplateFault('range too big, the sandbox allows 100000');
    }
    this.items = items;
  }
}

export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

export class Callable {
  constructor(
    readonly label: string,
    readonly call: (given: Arguments) => Value,
  ) {}
}

export class Namespace {
  readonly attributes = new Map<string, Value>();
}

/** `loop` within a for: what of it is asked for by name is worked out by the interpreter. */
export class Loop {
  index0 = 0;
  lastChanged: Value | undefined;
  constructor(readonly items: readonly Value[]) {}
}

/** A dict: keys keep their order and their type; 1, 1.0 and True are one key. */
export class Dict {
  private readonly entries = new Map<unknown, [Value, Value]>();
  constructor(pairs: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of pairs) this.set(key, value);
  }
  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    const known = this.entries.get(hash);
    if (known) known[1] = value;
    else this.entries.set(hash, [key, value]);
  }
  get(key: Value): Value | undefined {
    return this.entries.get(hashOf(key))?.[1];
  }
  has(key: Value): boolean {
    return this.entries.has(hashOf(key));
  }
  get size(): number {
    return this.entries.size;
  }
  keys(): Value[] {
    return [...this.entries.values()].map(([key]) => key);
  }
  values(): Value[] {
    return [...this.entries.values()].map(([, value]) => value);
  }
  pairs(): [Value, Value][] {
    return [...this.entries.values()].map(([key, value]) => [key, value]);
  }
}

/** What keys(), values() and items() give. */
export class DictView {
  constructor(
    readonly kind: 'dict_keys' | 'dict_values' | 'dict_items',
    private readonly dict: Dict,
  ) {}
  get items(): Value[] {
    if (this.kind === 'dict_keys') return this.dict.keys();
    if (this.kind === 'dict_values') return this.dict.values();
    return this.dict.pairs().map((pair) => new Tuple(pair));
  }
}

/** A key under which equal Python values meet; strings are marked so that they meet nothing else. */
function hashOf(key: Value): unknown {
  if (typeof key === 'string') return `s${key}`;
  if (typeof key === 'boolean') return key ? 1n : 0n;
  if (typeof key === 'number') return Number.isInteger(key) ? BigInt(key) : key;
  if (key instanceof Tuple) return `t${JSON.stringify(key.items.map((item) => [typeof item, String(hashOf(item))]))}`;
  if (Array.isArray(key) || key instanceof Dict) throw new TemplateFault(`unhashable type: '${typeName(key)}'`);
  return key;
}

/** Python's name of a value's type, as its messages have it. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'object') {
    if (value instanceof Iteration) return 'generator';
    if (value instanceof DictView) return value.kind;
    if (value instanceof Callable) return 'function';
    return value.constructor === Loop
      ? 'LoopContext'
      : value.constructor === Namespace || value instanceof Undefined
        ? value.constructor.name
        : value.constructor.name.toLowerCase();
  }
  return { boolean: 'bool', bigint: 'int', number: 'float', string: 'str' }[
    typeof value as 'boolean' | 'bigint' | 'number' | 'string'
  ];
}

/** @throws {TemplateFault} if it is Undefined: Jinja2 lets nobody work with it */
export function defined(value: Value): Value {
  if (value instanceof Undefined) throw new TemplateFault(value.reason);
  return value;
}

export function truthOf(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (typeof value === 'bigint') return value !== 0n;
  if (typeof value === 'number') return value !== 0;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string') return value !== '';
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Tuple || value instanceof Range || value instanceof DictView) return value.items.length > 0;
  if (value instanceof Dict) return value.size > 0;
  return true;
}

/** The items that a for loop would walk. @throws {TemplateFault} of values that Python cannot iterate */
export function itemsOf(value: Value): Iterable<Value> {
  if (typeof value === 'string' || Array.isArray(value) || value instanceof Iteration) return value;
  if (value instanceof Tuple || value instanceof Range || value instanceof DictView) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof Undefined) return [];
  throw new TemplateFault(`'${typeName(value)}' object is not iterable`);
}

/** The items of a value that Python can count and index; undefined of others, Undefined included. */
export function sequenceOf(value: Value): readonly Value[] | undefined {
  if (typeof value === 'string') return [...value];
  if (Array.isArray(value)) return value;
  return value instanceof Tuple || value instanceof Range ? value.items : undefined;
}

export function lengthOf(value: Value): number {
  const items = sequenceOf(value);
  if (items) return items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof DictView) return value.items.length;
  if (value instanceof Undefined) return 0;
  throw new TemplateFault(`object of type '${typeName(value)}' has no len()`);
}

type Numeric = boolean | bigint | number;
export const isNumber = (value: Value): value is Numeric =>
  typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean';
/** A bool is an int to Python's arithmetic. */
export const unboxed = (value: Numeric): bigint | number => (typeof value === 'boolean' ? (value ? 1n : 0n) : value);

/** Python's ==: by value, an int and the float of the same size alike. */
export function equal(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return (unboxed(a) as number) == (unboxed(b) as number);
  if (Array.isArray(a) && Array.isArray(b)) return equalItems(a, b);
  if (a instanceof Tuple && b instanceof Tuple) return equalItems(a.items, b.items);
  if (a instanceof Range && b instanceof Range) return equalItems(a.items, b.items);
  if (a instanceof Undefined && b instanceof Undefined) return true;
  if (a instanceof Dict && b instanceof Dict) {
    return a.size === b.size && a.pairs().every(([key, value]) => b.has(key) && equal(value, b.get(key)!));
  }
  if (a instanceof DictView && b instanceof DictView) throw new NotReproduced(`a comparison of ${a.kind}`);
  return a === b;
}
const equalItems = (a: readonly Value[], b: readonly Value[]): boolean =>
  a.length === b.length && a.every((item, i) => equal(item, b[i]!));

/**
 * Python's order of two values: negative, 0 or positive; NaN where neither holds, as for nan.
 * @throws {TemplateFault} where Python has none
 */
export function order(a: Value, b: Value, operator = '<'): number {
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [unboxed(a), unboxed(b)];
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : NaN;
  }
  if (typeof a === 'string' && typeof b === 'string') return orderOfTexts(a, b);
  const [x, y] = [a, b].map((side) => (Array.isArray(side) ? side : side instanceof Tuple ? side.items : undefined));
  if (x && y && Array.isArray(a) === Array.isArray(b)) {
    const at = x.findIndex((item, i) => i >= y.length || !equal(item, y[i]!));
    if (at >= 0 && at < y.length) return order(x[at]!, y[at]!, operator);
    return x.length - y.length;
  }
  throw new TemplateFault(
    `'${operator}' not supported between instances of '${typeName(defined(a))}' and '${typeName(defined(b))}'`,
  );
}

/** By code points, as Python orders; JavaScript orders by UTF-16 units. */
function orderOfTexts(a: string, b: string): number {
  const [x, y] = [[...a], [...b]];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const difference = x[i]!.codePointAt(0)! - y[i]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return x.length - y.length;
}

export const at = (items: readonly Value[], index: bigint): Value | undefined =>
  items[Number(index < 0n ? index + BigInt(items.length) : index)];
