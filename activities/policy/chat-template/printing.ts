import { reprOfFloat } from './numbers.js';
import { reprOfText } from './text.js';
import { Dict, DictView, Namespace, NotReproduced, Range, Tuple, typeName, Undefined, type Value } from './values.js';

/** Python's str(): what `{{ }}` prints. @throws {NotReproduced} of what prints as an address, as functions do */
export function textOf(value: Value): string {
  if (typeof value === 'string') return value;
  return value instanceof Undefined ? '' : reprOf(value);
}

export function reprOf(value: Value): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return reprOfFloat(value);
  if (typeof value === 'string') return reprOfText(value);
  if (Array.isArray(value)) return `[${value.map(reprOf).join(', ')}]`;
  if (value instanceof Tuple) return `(${value.items.map(reprOf).join(', ')}${value.items.length === 1 ? ',' : ''})`;
  if (value instanceof Dict)
    return `{${value
      .pairs()
      .map(([key, item]) => `${reprOf(key)}: ${reprOf(item)}`)
      .join(', ')}}`;
  if (value instanceof DictView) return `${value.kind}([${value.items.map(reprOf).join(', ')}])`;
  if (value instanceof Range)
    return `range(${value.start}, ${value.stop}${value.step === 1n ? '' : `, ${value.step}`})`;
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Namespace) return `<Namespace ${reprOf(new Dict(value.attributes))}>`;
  throw new NotReproduced(`the text of a ${typeName(value)}`);
}
