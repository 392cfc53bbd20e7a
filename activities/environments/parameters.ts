import { z } from 'zod';
import { described, isPlainObject, zod3Type, zodType } from './described.js';

/** What is wrong with a value that should be a `z.object`, and what to write instead; null if it is one. */
export function parametersProblem(value: unknown, what: string): string | null {
  if (isZodObject(value)) return fieldProblem(value);
  const expected = `expected z.object({ ... }) with ${what}`;
  if (value === undefined) return `is undefined, ${expected}; z.object({}) for none`;
  const zod3 = zod3Type(value);
  if (zod3 !== null && zodType(value) === null)
    return `is a ${zod3} of zod 3, ${expected} of zod 4: import { z } from 'seeupo/environment'`;
  const type = zodType(value);
  if (type === 'union')
    return `is a z.union or z.discriminatedUnion, ${expected}: one field may be a union, the whole may not`;
  if (type !== null) return `is z.${type}, ${expected}`;
  if (!isPlainObject(value)) return `is ${described(value)}, ${expected}`;
  const fields = Object.entries(value);
  if (isJsonSchema(value)) {
    const names = isPlainObject(value['properties']) ? Object.keys(value['properties']) : [];
    return `is a JSON Schema, ${expected}: write z.object({ ${names.map((name) => `${name}: z. ...`).join(', ') || '...'} })`;
  }
  if (fields.length > 0 && fields.every(([, one]) => zodType(one) !== null)) {
    return `is a plain object of zod schemas, ${expected}: write z.object({ ${fields.map(([name]) => name).join(', ')} })`;
  }
  return `is ${described(value)}, ${expected}`;
}

/** `z.object` takes anything for a field, and fails when it is first used. */
function fieldProblem({ shape }: z.ZodObject): string | null {
  const odd = Object.entries(shape as Record<string, unknown>).find(([, one]) => zodType(one) === null);
  if (!odd) return null;
  const [name, one] = odd;
  const zod3 = zod3Type(one);
  return `has the field ${name}, which is ${zod3 === null ? described(one) : `a ${zod3} of zod 3`}, expected a schema of zod 4 such as z.string()`;
}

const isZodObject = (value: unknown): value is z.ZodObject => {
  const parses = typeof (value as { safeParse?: unknown } | null)?.safeParse === 'function';
  return zodType(value) === 'object' && parses;
};

/** `{ type: 'object', properties }`, also as the Vercel AI SDK's jsonSchema() and MCP's inputSchema wrap it. */
const isJsonSchema = (value: Record<string, unknown>): boolean =>
  ['properties', '$schema', 'jsonSchema', 'inputSchema'].some((key) => key in value && zodType(value[key]) === null) ||
  typeof value['type'] === 'string';

/** Fields of a `z.object` that no JSON Schema can express, which `format: 'hermes'` shows to the model: name and type. */
export function withoutJsonSchema(schema: z.ZodObject): (readonly [string, string])[] {
  return Object.entries(schema.shape).flatMap(([name, one]) => {
    try {
      z.toJSONSchema(one as z.ZodType, { io: 'input' });
      return [];
    } catch {
      return [[name, zodType(one) ?? 'unknown'] as const];
    }
  });
}
