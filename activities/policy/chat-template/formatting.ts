import { fixedDecimals } from './numbers.js';
import { reprOf, textOf } from './printing.js';
import {
  Dict,
  isNumber,
  NotReproduced,
  TemplateFault,
  Tuple,
  typeName,
  unboxed,
  type Arguments,
  type Value,
} from './values.js';

/** Python's `text % values`: %s, %r, %d, %i, %f and %%, with flags, width and precision. */
export function percentFormat(text: string, given: Value): string {
  const values = given instanceof Tuple ? [...given.items] : [given];
  const named = given instanceof Dict;
  let used = 0;
  const result = text.replaceAll(
    /%(?:\((.*?)\))?([-+ #0]*)(\d*|\*)(?:\.(\d+|\*))?([\s\S]?)/g,
    (whole, key: string | undefined, flags: string, width: string, precision: string | undefined, kind: string) => {
      if (kind === '%') return '%';
      if (kind === '' || width === '*' || precision === '*' || !'srdif'.includes(kind))
        throw new NotReproduced(`the format ${JSON.stringify(whole)}`);
      if (key !== undefined && !named) throw new TemplateFault('format requires a mapping');
      const value = key === undefined ? values[used++] : (given as Dict).get(key);
      if (value === undefined)
        throw new TemplateFault(
          key === undefined ? 'not enough arguments for format string' : `no key ${key} for the format`,
        );
      return padded(converted(value, kind, precision), flags, Number(width || 0), 'sr'.includes(kind));
    },
  );
  if (!named && used < values.length) throw new TemplateFault('not all arguments converted during string formatting');
  return result;
}

function converted(value: Value, kind: string, precision: string | undefined): string {
  if (kind === 's' || kind === 'r') {
    const text = kind === 's' ? textOf(value) : reprOf(value);
    return precision === undefined ? text : [...text].slice(0, Number(precision)).join('');
  }
  if (!isNumber(value)) throw new TemplateFault(`%${kind} format: a real number is required, not ${typeName(value)}`);
  const number = unboxed(value);
  if (kind === 'f') return decimals(Number(number), Number(precision ?? 6));
  const whole = typeof number === 'bigint' ? number : BigInt(Math.trunc(number));
  const digits = (whole < 0n ? -whole : whole).toString().padStart(Number(precision ?? 0), '0');
  return whole < 0n ? `-${digits}` : digits;
}
function decimals(value: number, count: number): string {
  return Number.isFinite(value)
    ? fixedDecimals(value, count)
    : Number.isNaN(value)
      ? 'nan'
      : value > 0
        ? 'inf'
        : '-inf';
}

function padded(text: string, flags: string, width: number, isText: boolean): string {
  if (flags.includes('#')) throw new NotReproduced('the flag # of a format');
  const sign = isText || text.startsWith('-') ? '' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
  const whole = sign + text;
  const missing = Math.max(0, width - [...whole].length);
  if (flags.includes('-')) return whole + ' '.repeat(missing);
  if (!flags.includes('0') || isText) return ' '.repeat(missing) + whole;
  const [, mark, digits] = /^([-+ ]?)([\s\S]*)$/.exec(whole)!;
  return mark! + '0'.repeat(missing) + digits;
}

/** str.format with {}, {0} and {name}, without conversions; a specification may set fill, width, precision and type. */
export function braceFormat(text: string, { positional, named }: Arguments): string {
  let automatic = 0;
  let [counts, names] = [false, false];
  return text.replaceAll(
    /\{\{|\}\}|\{([^{}!:]*)(![rsa])?(?::([^{}]*))?\}|[{}]/g,
    (whole, field: string | undefined, conversion: string | undefined, spec: string | undefined) => {
      if (whole === '{{' || whole === '}}') return whole[0]!;
      if (field === undefined || conversion !== undefined || !/^(\d*|[\p{L}_][\p{L}\p{N}_]*)$/u.test(field)) {
        throw new NotReproduced(`the format ${JSON.stringify(whole)}`);
      }
      if (field === '') counts = true;
      else if (/^\d+$/.test(field)) names = true;
      if (counts && names) throw new TemplateFault('a format cannot switch between {} and {0}');
      const value = /^\d*$/.test(field) ? positional[field === '' ? automatic++ : Number(field)] : named.get(field);
      if (value === undefined)
        throw new TemplateFault(`the format asks for ${JSON.stringify(field)}, which is not given`);
      return specified(value, spec ?? '');
    },
  );
}

function specified(value: Value, spec: string): string {
  if (spec === '') return textOf(value);
  const [, fill, align, sign, zero, width, comma, precision, kind] =
    /^(?:([\s\S])?([<>^]))?([-+ ])?(0)?(\d+)?(,)?(?:\.(\d+))?([sdf])?$/u.exec(spec) ?? [];
  const fits =
    kind === undefined
      ? typeof value === 'string' || (typeof value === 'bigint' && precision === undefined)
      : kind === 's'
        ? typeof value === 'string'
        : isNumber(value);
  if (
    !fits ||
    (width === undefined && comma === undefined && precision === undefined && kind === undefined && sign === undefined)
  ) {
    throw new NotReproduced(`the format specification ${JSON.stringify(spec)} of a ${typeName(value)}`);
  }
  if (kind === 'd' && typeof value === 'number')
    throw new TemplateFault("Unknown format code 'd' for object of type 'float'");
  let body = converted(value, kind ?? (typeof value === 'string' ? 's' : 'd'), precision);
  const isText = typeof value === 'string';
  if (comma !== undefined) body = body.replace(/\d+/, (digits) => digits.replaceAll(/\B(?=(\d{3})+$)/g, ','));
  if (sign !== undefined && sign !== '-' && !body.startsWith('-')) body = sign + body;
  const missing = Math.max(0, Number(width ?? 0) - [...body].length);
  if (comma !== undefined && zero !== undefined) throw new NotReproduced('a format with zeros and commas');
  if (zero !== undefined && align === undefined) return padded(body, isText ? '-' : '0', Number(width), isText);
  const filler = (fill ?? ' ').repeat(missing);
  if (align === '^') return filler.slice(0, Math.floor(missing / 2)) + body + filler.slice(Math.floor(missing / 2));
  return (align ?? (isText ? '<' : '>')) === '<' ? body + filler : filler + body;
}
