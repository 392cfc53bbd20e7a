import { defined, TemplateFault, typeName, type Arguments, type Value } from './values.js';

/** The arguments of a call by the names of its parameters, as Python binds them; a parameter that is not given is undefined. */
export function bound<const Names extends readonly string[]>(
  callee: string,
  names: Names,
  { positional, named }: Arguments,
): { [Name in Names[number]]?: Value } {
  if (positional.length > names.length)
    throw new TemplateFault(`${callee}() takes ${names.length} arguments at most, ${positional.length} are given`);
  const found: Record<string, Value> = {};
  positional.forEach((value, i) => (found[names[i]!] = value));
  for (const [name, value] of named) {
    if (!names.includes(name) || name in found)
      throw new TemplateFault(`${callee}() got an unexpected argument '${name}'`);
    found[name] = value;
  }
  return found as { [Name in Names[number]]?: Value };
}

/** The value, or another where none is there; None is a value. */
export const or = (value: Value | undefined, otherwise: Value): Value => (value === undefined ? otherwise : value);

/** @throws {TemplateFault} if it is no str */
export function aText(callee: string, value: Value | undefined): string {
  if (typeof value === 'string') return value;
  throw new TemplateFault(`${callee}() needs a str, not ${value === undefined ? 'nothing' : typeName(defined(value))}`);
}

export function anInteger(callee: string, value: Value | undefined): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  throw new TemplateFault(
    `${callee}() needs an int, not ${value === undefined ? 'nothing' : typeName(defined(value))}`,
  );
}
