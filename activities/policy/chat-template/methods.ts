import { aText, anInteger, bound, or } from './arguments.js';
import { braceFormat } from './formatting.js';
import { textOf } from './printing.js';
import {
  capitalized,
  CHARACTER_TESTS,
  countOf,
  indexOfText,
  replaced,
  split,
  splitLines,
  stripped,
  swapCase,
  titleCase,
} from './text.js';
import {
  Callable,
  Dict,
  DictView,
  equal,
  itemsOf,
  NotReproduced,
  Range,
  TemplateFault,
  Tuple,
  Undefined,
  type Arguments,
  type Value,
} from './values.js';

type Method<T> = (receiver: T, given: Arguments) => Value;

const optionalText = (callee: string, value: Value | undefined): string | null =>
  value === undefined || value === null ? null : aText(callee, value);
const stripping =
  (name: string, side: 'both' | 'left' | 'right'): Method<string> =>
  (text, given) =>
    stripped(text, side, optionalText(name, bound(name, ['chars'], given).chars));
const splitting =
  (name: string, fromRight: boolean): Method<string> =>
  (text, given) => {
    const { sep, maxsplit } = bound(name, ['sep', 'maxsplit'], given);
    return split(
      text,
      optionalText(name, sep),
      maxsplit === undefined ? -1 : Number(anInteger(name, maxsplit)),
      fromRight,
    );
  };
const touching =
  (name: 'startswith' | 'endswith'): Method<string> =>
  (text, given) => {
    const { part, start, end } = bound(name, ['part', 'start', 'end'], given);
    if (start !== undefined || end !== undefined) throw new NotReproduced(`${name} with a place`);
    const parts = part instanceof Tuple ? part.items : [part];
    return parts.some((one) =>
      name === 'startswith' ? text.startsWith(aText(name, one)) : text.endsWith(aText(name, one)),
    );
  };
const finding =
  (name: string, fromRight: boolean, fails: boolean): Method<string> =>
  (text, given) => {
    const { sub, start, end } = bound(name, ['sub', 'start', 'end'], given);
    const [from, to] = [start, end].map((place) =>
      place === undefined || place === null ? null : anInteger(name, place),
    );
    const found = indexOfText(text, aText(name, sub), from!, to!, fromRight);
    if (found < 0 && fails) throw new TemplateFault('substring not found');
    return BigInt(found);
  };
const partition =
  (name: string, fromRight: boolean): Method<string> =>
  (text, given) => {
    const sep = aText(name, bound(name, ['sep'], given).sep);
    if (sep === '') throw new TemplateFault('empty separator');
    const unit = fromRight ? text.lastIndexOf(sep) : text.indexOf(sep);
    if (unit < 0) return new Tuple(fromRight ? ['', '', text] : [text, '', '']);
    return new Tuple([text.slice(0, unit), sep, text.slice(unit + sep.length)]);
  };
const filling =
  (name: string, place: 'left' | 'right' | 'zeros'): Method<string> =>
  (text, given) => {
    const { width, fill } = bound(name, ['width', 'fill'], given);
    const missing = Math.max(0, Number(anInteger(name, width)) - [...text].length);
    if (place === 'zeros') return text.replace(/^[-+]?/, (sign) => sign + '0'.repeat(missing));
    const filler = aText(name, fill ?? ' ').repeat(missing);
    return place === 'left' ? text + filler : filler + text;
  };
const plain =
  (name: string, change: (text: string) => Value): Method<string> =>
  (text, given) => {
    bound(name, [], given);
    return change(text);
  };

const TEXT: Readonly<Record<string, Method<string>>> = {
  strip: stripping('strip', 'both'),
  lstrip: stripping('lstrip', 'left'),
  rstrip: stripping('rstrip', 'right'),
  split: splitting('split', false),
  rsplit: splitting('rsplit', true),
  splitlines: (text, given) => splitLines(text, bound('splitlines', ['keepends'], given).keepends === true),
  startswith: touching('startswith'),
  endswith: touching('endswith'),
  find: finding('find', false, false),
  rfind: finding('rfind', true, false),
  index: finding('index', false, true),
  rindex: finding('rindex', true, true),
  partition: partition('partition', false),
  rpartition: partition('rpartition', true),
  ljust: filling('ljust', 'left'),
  rjust: filling('rjust', 'right'),
  zfill: filling('zfill', 'zeros'),
  upper: plain('upper', (text) => text.toUpperCase()),
  lower: plain('lower', (text) => text.toLowerCase()),
  capitalize: plain('capitalize', capitalized),
  title: plain('title', titleCase),
  swapcase: plain('swapcase', swapCase),
  ...Object.fromEntries(Object.entries(CHARACTER_TESTS).map(([name, holds]) => [name, plain(name, holds)])),
  count: (text, given) => BigInt(countOf(text, aText('count', bound('count', ['sub'], given).sub))),
  replace: (text, given) => {
    const { old, to, count } = bound('replace', ['old', 'to', 'count'], given);
    return replaced(
      text,
      aText('replace', old),
      aText('replace', to),
      count === undefined ? -1 : Number(anInteger('replace', count)),
    );
  },
  removeprefix: (text, given) => {
    const prefix = aText('removeprefix', bound('removeprefix', ['prefix'], given).prefix);
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  },
  removesuffix: (text, given) => {
    const suffix = aText('removesuffix', bound('removesuffix', ['suffix'], given).suffix);
    return suffix !== '' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  },
  join: (text, given) =>
    [...itemsOf(bound('join', ['items'], given).items ?? null)].map((item) => aText('join', item)).join(text),
  format: (text, given) => braceFormat(text, given),
};
const OTHERS_OF_TEXT = [
  'casefold',
  'center',
  'encode',
  'expandtabs',
  'format_map',
  'isidentifier',
  'isnumeric',
  'isprintable',
  'istitle',
  'maketrans',
  'translate',
];

const LIST: Readonly<Record<string, Method<readonly Value[]>>> = {
  count: (items, given) =>
    BigInt(items.filter((item) => equal(item, bound('count', ['value'], given).value ?? null)).length),
  index: (items, given) => {
    const { value } = bound('index', ['value'], given);
    const found = items.findIndex((item) => equal(item, value ?? null));
    if (found < 0) throw new TemplateFault('the value is not in the list');
    return BigInt(found);
  },
};
const CHANGES_A_LIST = ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort'];

const DICT: Readonly<Record<string, Method<Dict>>> = {
  get: (dict, given) => {
    const { key, fallback } = bound('get', ['key', 'fallback'], given);
    return or(dict.get(or(key, null)), or(fallback, null));
  },
  keys: (dict) => new DictView('dict_keys', dict),
  values: (dict) => new DictView('dict_values', dict),
  items: (dict) => new DictView('dict_items', dict),
  copy: (dict) => new Dict(dict.pairs()),
};
const CHANGES_A_DICT = ['clear', 'pop', 'popitem', 'setdefault', 'update'];

/** Every method that is reproduced; a template that calls another is refused when it is loaded. */
export const METHODS: ReadonlySet<string> = new Set([
  ...Object.keys(TEXT),
  ...Object.keys(LIST),
  ...Object.keys(DICT),
  'is_integer',
  'cycle',
  'changed',
]);

/**
 * The attribute that Python itself finds on a value, before any item of this name: a bound method. undefined: none.
 * An attribute that the sandbox forbids is Undefined.
 */
export function attributeOf(value: Value, name: string): Value | undefined {
  const forbidden = (): Undefined => new Undefined(`access to attribute '${name}' is unsafe`);
  if (/^__.*__$/.test(name)) return forbidden();
  const method = <T>(methods: Readonly<Record<string, Method<T>>>, receiver: T): Value | undefined =>
    Object.hasOwn(methods, name) ? new Callable(name, (given) => methods[name]!(receiver, given)) : undefined;
  const missing = (of: string): Callable =>
    new Callable(name, () => {
      throw new NotReproduced(`the method ${name} of ${of}`);
    });
  if (typeof value === 'string')
    return method(TEXT, value) ?? (OTHERS_OF_TEXT.includes(name) ? missing('str') : undefined);
  if (Array.isArray(value)) {
    if (CHANGES_A_LIST.includes(name)) return forbidden();
    return name === 'copy' ? new Callable(name, () => [...value]) : method(LIST, value);
  }
  if (value instanceof Tuple) return method(LIST, value.items);
  if (value instanceof Range)
    return name in { start: 1, stop: 1, step: 1 }
      ? value[name as 'start' | 'stop' | 'step']
      : method(LIST, value.items);
  if (value instanceof Dict) {
    if (CHANGES_A_DICT.includes(name)) return forbidden();
    return name === 'fromkeys' ? missing('dict') : method(DICT, value);
  }
  if (typeof value === 'number' && name === 'is_integer') return new Callable(name, () => Number.isInteger(value));
  const ofNumbers = [
    'real',
    'imag',
    'numerator',
    'denominator',
    'conjugate',
    'bit_length',
    'bit_count',
    'to_bytes',
    'from_bytes',
    'as_integer_ratio',
    'hex',
    'fromhex',
  ];
  if (['bigint', 'number', 'boolean'].includes(typeof value) && ofNumbers.includes(name))
    throw new NotReproduced(`the attribute ${name} of ${textOf(value)}`);
  return undefined;
}
