import { reprOfFloat } from './numbers.js';
import { defined, Dict, order, TemplateFault, Tuple, typeName, type Value } from './values.js';

/**
 * JSON text as Python's json.loads reads it: 1 and 1.0 stay apart, integers keep all digits, keys keep their order.
 * @throws {SyntaxError} if it is no JSON, naming the place
 */
export function readJson(text: string): Value {
  // JavaScript's own parser knows best what JSON is, and says where it ends to be.
  JSON.parse(text);
  const token = /[\s]*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[[\]{},:])/y;
  const next = (): string => token.exec(text)![1]!;
  const value = (first: string): Value => {
    if (first === '[') {
      const items: Value[] = [];
      for (let part = next(); part !== ']'; part = next()) if (part !== ',') items.push(value(part));
      return items;
    }
    if (first === '{') {
      const dict = new Dict();
      for (let part = next(); part !== '}'; part = next()) {
        if (part === ',') continue;
        next(); // the colon
        dict.set(JSON.parse(part) as string, value(next()));
      }
      return dict;
    }
    if (first.startsWith('"') || first === 'true' || first === 'false' || first === 'null')
      return JSON.parse(first) as Value;
    return /[.eE]/.test(first) ? Number(first) : BigInt(first);
  };
  return value(next());
}

/** What JSON.parse made, as Python's values: whole numbers are ints, for that is all that can be known of them. */
export function valueOfJson(json: unknown): Value {
  if (typeof json === 'number') return Number.isSafeInteger(json) ? BigInt(json) : json;
  if (Array.isArray(json)) return json.map(valueOfJson);
  if (typeof json === 'object' && json !== null) {
    return new Dict(
      Object.entries(json).flatMap(([key, value]) => (value === undefined ? [] : [[key, valueOfJson(value)] as const])),
    );
  }
  return json as null | boolean | string;
}

export interface DumpOptions {
  readonly ensureAscii: boolean;
  readonly indent: string | null;
  readonly separators: readonly [string, string];
  readonly sortKeys: boolean;
}

/** Python's json.dumps. @throws {TemplateFault} for values that it refuses too */
export function dumps(value: Value, options: DumpOptions, depth = 0): string {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return jsonOfFloat(value);
  if (typeof value === 'string') return quotedJson(value, options.ensureAscii);
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (items)
    return enclosed(
      '[',
      items.map((item) => dumps(item, options, depth + 1)),
      ']',
      options,
      depth,
    );
  if (value instanceof Dict) {
    const pairs = options.sortKeys ? value.pairs().sort(([a], [b]) => order(a, b)) : value.pairs();
    const texts = pairs.map(
      ([key, item]) =>
        quotedJson(keyText(key), options.ensureAscii) + options.separators[1] + dumps(item, options, depth + 1),
    );
    return enclosed('{', texts, '}', options, depth);
  }
  throw new TemplateFault(`Object of type ${typeName(value)} is not JSON serializable`);
}

function enclosed(
  open: string,
  texts: readonly string[],
  close: string,
  { indent, separators: [comma] }: DumpOptions,
  depth: number,
): string {
  if (texts.length === 0) return open + close;
  if (indent === null) return open + texts.join(comma) + close;
  const line = `\n${indent.repeat(depth + 1)}`;
  return `${open}${line}${texts.join(comma + line)}\n${indent.repeat(depth)}${close}`;
}

const jsonOfFloat = (value: number): string =>
  Number.isNaN(value) ? 'NaN' : Number.isFinite(value) ? reprOfFloat(value) : value > 0 ? 'Infinity' : '-Infinity';

function keyText(key: Value): string {
  if (typeof key === 'string') return key;
  if (key === null || typeof key === 'boolean') return String(key);
  if (typeof key === 'bigint') return key.toString();
  if (typeof key === 'number') return jsonOfFloat(key);
  throw new TemplateFault(`keys must be str, int, float, bool or None, not ${typeName(defined(key))}`);
}

const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b',
};
function quotedJson(text: string, ensureAscii: boolean): string {
  const pattern = ensureAscii ? /["\\]|[^ -~]/g : /["\\\u0000-\u001f]/g;
  return `"${text.replaceAll(pattern, (unit) => SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"`;
}
