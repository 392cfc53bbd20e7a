import type { JsonSchema } from './json-schema.js';

/** Field, type, default and meaning, as a row of a table. */
export type FieldRow = readonly [field: string, type: string, fallback: string, meaning: string];

/** The one form of a field that is no `null`; undefined if there are several. */
export function solid(schema: JsonSchema): JsonSchema | undefined {
  const forms = (schema.anyOf ?? []).filter(({ type }) => type !== 'null');
  return forms.length === 0 ? schema : forms.length === 1 ? forms[0] : undefined;
}

/**
 * A row for every field of a block; those of a block within follow it, with their path.
 *
 * @param otherwise  value of a field that has no default in the schema and may be left out; undefined: none
 */
export function fieldRows(
  block: JsonSchema,
  otherwise: (field: string) => unknown = () => undefined,
  prefix = '',
): FieldRow[] {
  return Object.entries(block.properties ?? {}).flatMap(([name, schema]): FieldRow[] => {
    const path = prefix + name;
    const inner = solid(schema);
    const row: FieldRow = [
      `\`${path}\``,
      inner?.properties ? typeOf(schema).replace('object', 'block') : typeOf(schema),
      fallbackOf(schema, block.required?.includes(name) ?? false, otherwise(path)),
      schema.description ?? '',
    ];
    return inner?.properties ? [row, ...fieldRows(inner, () => undefined, `${path}.`)] : [row];
  });
}

function fallbackOf(schema: JsonSchema, isRequired: boolean, otherwise: unknown): string {
  if (isRequired) return 'required';
  const value = schema.default ?? otherwise;
  if (schema.default === null) return '`null`';
  if (value === undefined) return 'left out';
  // A block that may be left out has the defaults of its fields.
  if (JSON.stringify(value) === '{}') return 'see its fields';
  return `\`${JSON.stringify(value)}\``;
}

/** In words and values: `integer ≥ 1 or null`, `"lora" or "full"`. */
export function typeOf(schema: JsonSchema): string {
  const forms = schema.anyOf ?? schema.oneOf;
  if (forms) return [...new Set(forms.map(typeOf))].join(' or ');
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(' or ');
  if (schema.type === 'array') return listType(schema);
  if (schema.type === 'null') return '`null`';
  if (schema.type === 'integer' || schema.type === 'number') return [schema.type, ...boundsOf(schema)].join(' ');
  if (typeof schema.type === 'object') return schema.type.map((type) => typeOf({ ...schema, type })).join(' or ');
  return schema.type ?? 'any';
}

function listType({ items }: JsonSchema): string {
  if (items === undefined) return 'list';
  return Array.isArray(items) ? `[${items.map(typeOf).join(', ')}]` : `list of ${typeOf(items as JsonSchema)}`;
}

function boundsOf({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): string[] {
  const [least, above] = type === 'integer' && exclusiveMinimum === 0 ? [1, undefined] : [minimum, exclusiveMinimum];
  const bounds = [
    ...(above === undefined ? [] : [`> ${above}`]),
    ...(least === undefined ? [] : [`≥ ${least}`]),
    ...(exclusiveMaximum === undefined ? [] : [`< ${exclusiveMaximum}`]),
    // What a number can hold exactly is no limit of the setting.
    ...(maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? [] : [`≤ ${maximum}`]),
  ];
  return bounds.length === 0 ? [] : [bounds.join(' and ')];
}
