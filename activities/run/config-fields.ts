import { z } from 'zod';

/** Every field of a configuration by its dotted path, with its description. */
export type Fields = ReadonlyMap<string, string | undefined>;

interface JsonSchema {
  readonly description?: string;
  readonly properties?: Record<string, JsonSchema>;
  readonly const?: unknown;
  readonly anyOf?: JsonSchema[];
  readonly oneOf?: JsonSchema[];
  readonly allOf?: JsonSchema[];
}

/** The fields as read off the schema: those of one algorithm, or of all of them if it is null. */
export const fieldsOf = (schema: z.ZodType, algorithm: string | null): Fields =>
  new Map(fieldsBelow(z.toJSONSchema(schema, { io: 'input' }) as JsonSchema, '', algorithm));

function fieldsBelow(schema: JsonSchema, prefix: string, algorithm: string | null): [string, string | undefined][] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, inner]): [string, string | undefined][] => [
    [prefix + key, inner.description],
    ...fieldsBelow(inner, `${prefix}${key}.`, algorithm),
  ]);
  const variants = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  const isChosen = ({ properties }: JsonSchema) => properties?.['name']?.const === algorithm;
  const chosen = prefix === 'algorithm.' && algorithm !== null ? variants.filter(isChosen) : variants;
  return [...own, ...chosen.flatMap((variant) => fieldsBelow(variant, prefix, algorithm))];
}

/**
 * What a message adds about a field: ` (clip: ...)` with the first sentence of its description, or nothing.
 *
 * @param path  of a field, or of a value within one, as `optimizer.betas.0`
 */
export function about(fields: Fields, path: string): string {
  if (path === '') return '';
  if (!fields.has(path)) return about(fields, parentOf(path));
  const description = fields.get(path);
  return description === undefined ? '' : ` (${lastOf(path)}: ${firstSentence(description)})`;
}

/** A full stop ends a sentence where a capital or a value in backticks begins the next one. */
const firstSentence = (text: string): string => /^.*?(?<!e\.g|Eq)\.(?= [A-Z`{]|$)/.exec(text)?.[0] ?? text;

export const lastOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1);
export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('.')));
