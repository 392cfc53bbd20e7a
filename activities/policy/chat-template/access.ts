import { or } from './arguments.js';
import { attributeOf } from './methods.js';
import { itemAt } from './operators.js';
import { reprOf } from './printing.js';
import {
  Callable,
  defined,
  Dict,
  equal,
  Loop,
  Namespace,
  NotReproduced,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** Jinja2's `value.name`: what Python finds on the value, else its item of this name, else Undefined. */
export function getAttribute(value: Value, name: string): Value {
  if (value instanceof Loop) return or(loopAttribute(value, name), missing(value, name));
  if (value instanceof Namespace) return or(value.attributes.get(name), missing(value, name));
  const found = attributeOf(defined(value), name);
  return found === undefined ? or(itemAt(value, name), missing(value, name)) : found;
}

/** Jinja2's `value[index]`: the item, else what Python finds on the value under this name, else Undefined. */
export function getItem(value: Value, index: Value): Value {
  const item = itemAt(value, defined(index));
  if (item !== undefined) return item;
  return or(typeof index === 'string' ? attributeOf(value, index) : undefined, missing(value, index));
}

function missing(value: Value, name: Value): Undefined {
  const what =
    value instanceof Dict
      ? 'dict object'
      : value === null
        ? 'None'
        : typeof value === 'object' && value !== null
          ? `${typeName(value)} object`
          : typeName(value);
  return new Undefined(
    typeof name === 'string' ? `'${what}' has no attribute '${name}'` : `${what} has no element ${reprOf(name)}`,
  );
}

function loopAttribute(loop: Loop, name: string): Value | undefined {
  const { index0: i, items } = loop;
  const values: Readonly<Record<string, () => Value>> = {
    index0: () => BigInt(i),
    index: () => BigInt(i + 1),
    revindex: () => BigInt(items.length - i),
    revindex0: () => BigInt(items.length - i - 1),
    first: () => i === 0,
    last: () => i === items.length - 1,
    length: () => BigInt(items.length),
    // Counts recursive calls of a loop, which are not reproduced.
    depth: () => 1n,
    depth0: () => 0n,
    previtem: () => or(items[i - 1], new Undefined('there is no previous item')),
    nextitem: () => or(items[i + 1], new Undefined('there is no next item')),
    cycle: () => new Callable('cycle', ({ positional }) => positional[i % positional.length] ?? null),
    changed: () =>
      new Callable('changed', ({ positional }) => {
        const same = loop.lastChanged !== undefined && equal(loop.lastChanged, [...positional]);
        loop.lastChanged = [...positional];
        return !same;
      }),
  };
  if (Object.hasOwn(values, name)) return values[name]!();
  if (name.startsWith('_')) throw new NotReproduced(`loop.${name}`);
  return undefined;
}
