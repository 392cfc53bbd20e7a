import { types } from 'node:util';

const SHOWN_CHARACTERS = 60;
const SHOWN_FIELDS = 5;

/** A value in words, for messages: `a Promise`, `the text "go"`, `an object with role, content`. Never throws. */
export function described(value: unknown): string {
  try {
    return inWords(value);
  } catch {
    return 'a value that throws when it is read';
  }
}

function inWords(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `the text ${quoted(value)}`;
    case 'number':
      return Number.isFinite(value) ? `the number ${value}` : String(value);
    case 'bigint':
      return `the BigInt ${String(value).slice(0, SHOWN_CHARACTERS)}n`;
    case 'symbol':
      return 'a Symbol';
    case 'function':
      return functionInWords(value);
    case 'object':
      return value === null ? 'null' : objectInWords(value);
    default:
      return String(value);
  }
}

/** A text in quotation marks, cut if it is long. */
export const quoted = (text: string): string =>
  text.length > SHOWN_CHARACTERS ? `${JSON.stringify(text.slice(0, SHOWN_CHARACTERS))}...` : JSON.stringify(text);

function functionInWords(value: object): string {
  if (isClass(value)) return 'a class';
  if (isGenerator(value)) return 'a generator function';
  return types.isAsyncFunction(value) ? 'an async function' : 'a function';
}

function objectInWords(value: object): string {
  if (isThenable(value)) return 'a Promise';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : `an array of ${value.length}`;
  const schema = zodType(value);
  if (schema !== null) return `z.${schema}(...)`;
  if (isPlainObject(value)) {
    const fields = Object.keys(value);
    if (fields.length === 0) return 'an empty object';
    return `an object with ${fields
      .slice(0, SHOWN_FIELDS)
      .map((field) => field.slice(0, 40))
      .join(', ')}${fields.length > SHOWN_FIELDS ? ', ...' : ''}`;
  }
  const name: unknown = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null)?.constructor
    ?.name;
  if (typeof name !== 'string' || name === '') return 'an object of a class without a name';
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`;
}

/** What `await` waits for. */
export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';

/** `{ ... }`, also of another realm: no class, no Map, no array. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

export const isClass = (value: unknown): boolean =>
  typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value));
export const isGenerator = (value: unknown): boolean => types.isGeneratorFunction(value);

/** `object`, `date` and so on of a zod 4 schema, by its own tag: the module may have a copy of zod of its own. */
export function zodType(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const type = (value as { _zod?: { def?: { type?: unknown } } })._zod?.def?.type;
  return typeof type === 'string' ? type : null;
}

/** `ZodObject` and so on of a zod 3 schema. */
export function zod3Type(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const type = (value as { _def?: { typeName?: unknown } })._def?.typeName;
  return typeof type === 'string' ? type : null;
}
