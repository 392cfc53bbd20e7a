import { binary, compare } from './operators.js';
import { textOf } from './printing.js';
import { CHARACTER_TESTS } from './text.js';
import {
  Callable,
  Dict,
  equal,
  isNumber,
  itemsOf,
  Loop,
  sequenceOf,
  TemplateFault,
  Undefined,
  type Value,
} from './values.js';

type Test = (value: Value, ...args: readonly Value[]) => boolean;
const comparing =
  (operator: string): Test =>
  (value, other) =>
    compare(operator, value, argument(other));
function argument(value: Value | undefined): Value {
  if (value === undefined) throw new TemplateFault('the test lacks its argument');
  return value;
}
const isIterable = (value: Value): boolean => {
  try {
    itemsOf(value);
    return true;
  } catch {
    return false;
  }
};
const isMultiple = (value: Value, by: Value): boolean => equal(binary('%', value, by), 0n);
const identical = (a: Value, b: Value): boolean => {
  const simple = (value: Value): boolean => value === null || typeof value === 'boolean';
  if (simple(a) || simple(b)) return a === b;
  throw new TemplateFault('sameas of anything but none, true and false is not reproduced here');
};

/** Jinja2's tests that are reproduced; a template with another is refused when it is loaded. */
export const TESTS: Readonly<Record<string, Test>> = {
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  none: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  true: (value) => value === true,
  false: (value) => value === false,
  integer: (value) => typeof value === 'bigint',
  float: (value) => typeof value === 'number',
  number: isNumber,
  string: (value) => typeof value === 'string',
  mapping: (value) => value instanceof Dict,
  // Jinja2 asks for a length and items: a dict has both, and so has Undefined.
  sequence: (value) => value instanceof Dict || value instanceof Undefined || sequenceOf(value) !== undefined,
  iterable: (value) => value instanceof Loop || isIterable(value),
  // Undefined has a way to be called, which fails.
  callable: (value) => value instanceof Callable || value instanceof Undefined,
  lower: (value) => CHARACTER_TESTS['islower']!(textOf(value)),
  upper: (value) => CHARACTER_TESTS['isupper']!(textOf(value)),
  even: (value) => isMultiple(value, 2n),
  odd: (value) => equal(binary('%', value, 2n), 1n),
  divisibleby: (value, by) => isMultiple(value, argument(by)),
  sameas: (value, other) => identical(value, argument(other)),
  in: (value, container) => compare('in', value, argument(container)),
  ...Object.fromEntries(
    ['equalto', 'eq', '=='].map((name) => [name, (value: Value, other: Value) => equal(value, argument(other))]),
  ),
  ...Object.fromEntries(['ne', '!='].map((name) => [name, comparing('!=')])),
  ...Object.fromEntries(['gt', 'greaterthan', '>'].map((name) => [name, comparing('>')])),
  ...Object.fromEntries(['ge', '>='].map((name) => [name, comparing('>=')])),
  ...Object.fromEntries(['lt', 'lessthan', '<'].map((name) => [name, comparing('<')])),
  ...Object.fromEntries(['le', '<='].map((name) => [name, comparing('<=')])),
};
