import { aText, anInteger, bound, or } from './arguments.js';
import { getItem } from './access.js';
import { dumps } from './json.js';
import { percentFormat } from './formatting.js';
import { rounded } from './numbers.js';
import { binary, itemAt, unary } from './operators.js';
import { textOf } from './printing.js';
import { capitalized, replaced, splitLines, stripped } from './text.js';
import { TESTS } from './tests.js';
import {
  defined,
  Dict,
  equal,
  isNumber,
  Iteration,
  itemsOf,
  lengthOf,
  NotReproduced,
  order,
  TemplateFault,
  truthOf,
  Tuple,
  typeName,
  Undefined,
  unboxed,
  type Arguments,
  type Value,
} from './values.js';

export type Filter = (value: Value, given: Arguments) => Value;

const caseless = (value: Value): Value => (typeof value === 'string' ? value.toLowerCase() : value);
/** The value under `a.b.0` of an item, as `attribute=` of many filters means it. */
const attributed =
  (attribute: Value | undefined, fallback?: Value) =>
  (item: Value): Value => {
    if (attribute === undefined || attribute === null) return item;
    const parts =
      typeof attribute === 'string'
        ? attribute.split('.').map((part) => (/^\d+$/.test(part) ? BigInt(part) : part))
        : [attribute];
    return parts.reduce((found: Value, part) => {
      const next = getItem(found, part);
      return next instanceof Undefined && fallback !== undefined ? fallback : next;
    }, item);
  };
const keyed = (attribute: Value | undefined, caseSensitive: Value | undefined) => {
  if (typeof attribute === 'string' && attribute.includes(',')) throw new NotReproduced('a sort by several attributes');
  const get = attributed(attribute);
  return (item: Value): Value => (truthOf(caseSensitive ?? false) ? get(item) : caseless(get(item)));
};
const sorted = (items: Iterable<Value>, key: (item: Value) => Value, reverse: boolean): Value[] =>
  [...items].sort((a, b) => (reverse ? order(key(b), key(a)) : order(key(a), key(b))));

const extreme =
  (name: string, sign: 1 | -1): Filter =>
  (value, given) => {
    const { case_sensitive, attribute } = bound(name, ['case_sensitive', 'attribute'], given);
    const key = keyed(attribute, case_sensitive);
    const [first, ...rest] = itemsOf(value);
    if (first === undefined) return new Undefined('No aggregated item, sequence was empty.');
    return rest.reduce((best, item) => (order(key(item), key(best)) * sign > 0 ? item : best), first);
  };

/** select, reject, selectattr and rejectattr: by a test, or by what is true. */
const selecting =
  (name: string, wanted: boolean, byAttribute: boolean): Filter =>
  (value, { positional, named }) => {
    if (named.size > 0) throw new NotReproduced(`${name} with named arguments`);
    const [attribute, ...tested] = byAttribute ? positional : [undefined, ...positional];
    if (byAttribute && attribute === undefined) throw new TemplateFault(`${name}() lacks the attribute`);
    const get = attributed(attribute);
    const [testName, ...args] = tested as Value[];
    const test = testName === undefined ? truthOf : TESTS[aText(name, testName)];
    if (!test) throw new NotReproduced(`the test ${textOf(testName!)}`);
    return new Iteration(lazily(value, (item) => test(get(item), ...args) === wanted));
  };
function* lazily(value: Value, holds: (item: Value) => boolean): Generator<Value> {
  for (const item of itemsOf(value)) if (holds(item)) yield item;
}
function* changed(items: Iterable<Value>, change: (item: Value) => Value): Generator<Value> {
  for (const item of items) yield change(item);
}

const map: Filter = (value, { positional, named }) => {
  if (positional.length === 0 && named.has('attribute'))
    return new Iteration(changed(itemsOf(value), attributed(named.get('attribute'), named.get('default'))));
  const [name, ...rest] = positional;
  const filter = FILTERS[aText('map', name)];
  if (!filter) throw new NotReproduced(`the filter ${textOf(name!)}`);
  return new Iteration(changed(itemsOf(value), (item) => filter(item, { positional: rest, named })));
};

const length: Filter = (value) => BigInt(lengthOf(value));
const plain =
  (change: (text: string) => string): Filter =>
  (value) =>
    change(textOf(value));
const fallback: Filter = (value, given) => {
  const { default_value, boolean } = bound('default', ['default_value', 'boolean'], given);
  return value instanceof Undefined || (truthOf(boolean ?? false) && !truthOf(value)) ? or(default_value, '') : value;
};

const toJson: Filter = (value, given) => {
  const { ensure_ascii, indent, separators, sort_keys } = bound(
    'tojson',
    ['ensure_ascii', 'indent', 'separators', 'sort_keys'],
    given,
  );
  const step =
    indent === undefined || indent === null
      ? null
      : typeof indent === 'string'
        ? indent
        : ' '.repeat(Number(anInteger('tojson', indent)));
  const [comma, colon] =
    separators === undefined || separators === null
      ? [step === null ? ', ' : ',', ': ']
      : [...itemsOf(separators)].map((text) => aText('tojson', text));
  return dumps(value, {
    ensureAscii: truthOf(ensure_ascii ?? false),
    indent: step,
    separators: [comma!, colon!],
    sortKeys: truthOf(sort_keys ?? false),
  });
};

const indent: Filter = (value, given) => {
  const { width, first, blank } = bound('indent', ['width', 'first', 'blank'], given);
  const margin = typeof width === 'string' ? width : ' '.repeat(Number(anInteger('indent', width ?? 4n)));
  const [head = '', ...rest] = splitLines(`${aText('indent', value)}\n`, false);
  const lines = rest.map((line) => (line !== '' || truthOf(blank ?? false) ? margin + line : line));
  return (truthOf(first ?? false) ? margin : '') + [head, ...lines].join('\n');
};

/** Python reads numbers in every script. */
const FOREIGN_DIGIT = /(?=\P{ASCII})\p{Nd}/u;
const toInteger: Filter = (value, given) => {
  const fallbackValue = or(bound('int', ['default'], given).default, 0n);
  defined(value);
  if (isNumber(value))
    return typeof value === 'number'
      ? Number.isFinite(value)
        ? BigInt(Math.trunc(value))
        : fallbackValue
      : unboxed(value);
  const text = typeof value === 'string' ? stripped(value, 'both', null) : '';
  if (FOREIGN_DIGIT.test(text)) throw new NotReproduced('int of digits beyond ASCII');
  if (/^[+-]?\d+(_\d+)*$/.test(text)) return BigInt(text.replaceAll(/[_+]/g, ''));
  const number = floatOf(text);
  return number !== undefined && Number.isFinite(number) ? BigInt(Math.trunc(number)) : fallbackValue;
};
const toFloat: Filter = (value, given) => {
  const fallbackValue = or(bound('float', ['default'], given).default, 0);
  if (isNumber(defined(value))) return Number(value);
  return or(typeof value === 'string' ? floatOf(stripped(value, 'both', null)) : undefined, fallbackValue);
};
function floatOf(text: string): number | undefined {
  if (FOREIGN_DIGIT.test(text)) throw new NotReproduced('float of digits beyond ASCII');
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special) return special[2]!.toLowerCase() === 'nan' ? NaN : special[1] === '-' ? -Infinity : Infinity;
  return /^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][+-]?\d+(_\d+)*)?$/.test(text)
    ? Number(text.replaceAll('_', ''))
    : undefined;
}

const joined: Filter = (value, given) => {
  const { d, attribute } = bound('join', ['d', 'attribute'], given);
  return [...itemsOf(value)]
    .map(attributed(attribute))
    .map(textOf)
    .join(textOf(or(d, '')));
};

/** Jinja2's filters that are reproduced; a template with another is refused when it is loaded. */
export const FILTERS: Readonly<Record<string, Filter>> = {
  abs: (value) =>
    isNumber(value)
      ? unboxed(value) < 0 || Object.is(value, -0)
        ? unary('-', value)
        : unary('+', value)
      : unary('+', value),
  capitalize: plain(capitalized),
  count: length,
  length,
  d: fallback,
  default: fallback,
  dictsort: (value, given) => {
    const { case_sensitive, by, reverse } = bound('dictsort', ['case_sensitive', 'by', 'reverse'], given);
    if (!(value instanceof Dict)) throw new TemplateFault(`dictsort of ${typeName(defined(value))}`);
    const position = by === 'value' ? 1n : 0n;
    const key = (pair: Value): Value => keyed(undefined, case_sensitive)(itemAt(pair, position)!);
    return sorted(
      value.pairs().map((pair) => new Tuple(pair)),
      key,
      truthOf(reverse ?? false),
    );
  },
  first: (value) => {
    for (const item of itemsOf(value)) return item;
    return new Undefined('No first item, sequence was empty.');
  },
  float: toFloat,
  format: (value, { positional, named }) => {
    if (named.size > 0 && positional.length > 0)
      throw new TemplateFault("can't handle positional and keyword arguments at the same time");
    return percentFormat(textOf(value), named.size > 0 ? new Dict(named) : new Tuple(positional));
  },
  indent,
  int: toInteger,
  items: (value) => {
    if (value instanceof Undefined) return new Iteration([]);
    if (!(value instanceof Dict)) throw new TemplateFault('Can only get item pairs from a mapping.');
    return new Iteration(value.pairs().map((pair) => new Tuple(pair)));
  },
  join: joined,
  last: (value) => {
    if (value instanceof Iteration) throw new TemplateFault(`'generator' object is not reversible`);
    return or([...itemsOf(value)].at(-1), new Undefined('No last item, sequence was empty.'));
  },
  list: (value) => [...itemsOf(value)],
  lower: plain((text) => text.toLowerCase()),
  map,
  max: extreme('max', 1),
  min: extreme('min', -1),
  reject: selecting('reject', false, false),
  rejectattr: selecting('rejectattr', false, true),
  replace: (value, given) => {
    const { old, to, count } = bound('replace', ['old', 'to', 'count'], given);
    return replaced(
      textOf(value),
      textOf(old!),
      textOf(to!),
      count === undefined || count === null ? -1 : Number(anInteger('replace', count)),
    );
  },
  reverse: (value) =>
    typeof value === 'string' ? [...value].reverse().join('') : new Iteration([...itemsOf(value)].reverse()),
  round: (value, given) => {
    const { precision, method } = bound('round', ['precision', 'method'], given);
    if (method !== undefined && method !== 'common') throw new NotReproduced('round by ceil or floor');
    if (!isNumber(value)) throw new TemplateFault(`round of ${typeName(defined(value))}`);
    return rounded(unboxed(value), Number(anInteger('round', precision ?? 0n)));
  },
  select: selecting('select', true, false),
  selectattr: selecting('selectattr', true, true),
  sort: (value, given) => {
    const { reverse, case_sensitive, attribute } = bound('sort', ['reverse', 'case_sensitive', 'attribute'], given);
    return sorted(itemsOf(value), keyed(attribute, case_sensitive), truthOf(reverse ?? false));
  },
  string: (value) => textOf(value),
  sum: (value, given) => {
    const { attribute, start } = bound('sum', ['attribute', 'start'], given);
    return [...itemsOf(value)]
      .map(attributed(attribute))
      .reduce((total, item) => binary('+', total, item), start ?? 0n);
  },
  title: plain((text) =>
    text
      .split(/([-\s({[<]+)/u)
      .map((word) => (word === '' ? '' : [...word][0]!.toUpperCase() + [...word].slice(1).join('').toLowerCase()))
      .join(''),
  ),
  tojson: toJson,
  trim: (value, given) => {
    const { chars } = bound('trim', ['chars'], given);
    return stripped(textOf(value), 'both', chars === undefined || chars === null ? null : aText('trim', chars));
  },
  unique: (value, given) => {
    const { case_sensitive, attribute } = bound('unique', ['case_sensitive', 'attribute'], given);
    const key = keyed(attribute, case_sensitive);
    const seen: Value[] = [];
    return new Iteration(
      lazily(value, (item) => !seen.some((one) => equal(one, key(item))) && seen.push(key(item)) > 0),
    );
  },
  upper: plain((text) => text.toUpperCase()),
  // Marks text as HTML, which matters only to filters after it: the check allows both at the end of an output alone.
  safe: (value) => textOf(value),
  e: (value) => escaped(textOf(value)),
  escape: (value) => escaped(textOf(value)),
};

const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' };
const escaped = (text: string): string => text.replaceAll(/[&<>'"]/g, (char) => HTML[char]!);
