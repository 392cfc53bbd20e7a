import { bound, or } from './arguments.js';
import { strftime } from './clock.js';
import { textOf } from './printing.js';
import { Callable, Dict, itemsOf, Namespace, Range, TemplateFault, type Arguments, type Value } from './values.js';

/** What raise_exception of a template says. */
export class RaisedByTemplate extends TemplateFault {}

/** Functions that every template sees, Jinja2's and transformers'. @param now see strftime */
export function globals(now: string): [string, Value][] {
  const callables: Readonly<Record<string, (given: Arguments) => Value>> = {
    range: ({ positional }) => {
      const [a, b, step = 1n] = positional;
      if (typeof a !== 'bigint' || (b !== undefined && typeof b !== 'bigint') || typeof step !== 'bigint')
        throw new TemplateFault('range() needs integers');
      return b === undefined ? new Range(0n, a, 1n) : new Range(a, b, step);
    },
    dict: (given) => dictOf(given),
    namespace: (given) => {
      const namespace = new Namespace();
      for (const [name, value] of dictOf(given).pairs()) setAttribute(namespace, String(name), value);
      return namespace;
    },
    raise_exception: (given) => {
      throw new RaisedByTemplate(textOf(or(bound('raise_exception', ['message'], given).message, '')));
    },
    strftime_now: (given) => strftime(String(bound('strftime_now', ['format'], given).format), now),
  };
  return Object.entries(callables).map(([name, call]) => [name, new Callable(name, call)]);
}

function dictOf({ positional, named }: Arguments): Dict {
  const [first] = positional;
  const pairs =
    first === undefined
      ? []
      : first instanceof Dict
        ? first.pairs()
        : [...itemsOf(first)].map((pair) => [...itemsOf(pair)] as [Value, Value]);
  return new Dict([...pairs, ...named]);
}

/** Sets an attribute of a namespace, as `{% set ns.name = value %}` does. @throws {TemplateFault} for names that transformers forbids */
export function setAttribute(namespace: Namespace, name: string, value: Value): void {
  if (name.startsWith('_'))
    throw new TemplateFault(`a namespace takes no attribute that begins with an underscore, as ${name}`);
  namespace.attributes.set(name, value);
}
