import type { ToolSignature } from '../toolbox.js';
import type { ShownTool } from './define-mcp-environment.js';

type Schema = Readonly<Record<string, unknown>>;

interface Arguments {
  /** Of any form that the schema allows, in the order in which they are written there. */
  readonly names: readonly string[];
  /** Of every form. */
  readonly required: ReadonlySet<string>;
  /** Others are refused by the schema itself. */
  readonly closed: boolean;
}

const NONE: Arguments = { names: [], required: new Set(), closed: false };
const MAX_DEPTH = 8;

/** MCP names may hold `-` and `.`, which a call line cannot. */
export const callableName = (name: string): string => name.replaceAll(/[^A-Za-z0-9_]/g, '_').replace(/^(?=\d)/, '_');

/** @param shown  what the prompt says of it; calls are made by the server's own schema */
export function signatureOf(name: string, inputSchema: Schema, shown: ShownTool): ToolSignature {
  const { names, required, closed } = argumentsOf(inputSchema, inputSchema);
  return {
    name,
    description: shown.description,
    parameters: names.map((key) => ({ name: key, optional: !required.has(key) })),
    // JSON Schema lets through what it does not name, unless it says otherwise; the server has the last word.
    takesOthers: !closed,
    schema() {
      const { $schema: _, ...schema } = shown.inputSchema;
      return schema;
    },
  };
}

/** Arguments that a schema names: its own properties, those of what it refers to, and of the forms that it combines. */
function argumentsOf(schema: unknown, root: Schema, depth = 0): Arguments {
  if (!isSchema(schema) || depth > MAX_DEPTH) return NONE;
  const own: Arguments = {
    names: Object.keys(isSchema(schema.properties) ? schema.properties : {}),
    required: new Set(Array.isArray(schema.required) ? schema.required.filter((key) => typeof key === 'string') : []),
    closed: schema.additionalProperties === false || schema.unevaluatedProperties === false,
  };
  const within = (part: unknown) => argumentsOf(part, root, depth + 1);
  const all = [
    own,
    ...(typeof schema.$ref === 'string' ? [within(referred(schema.$ref, root))] : []),
    ...listed(schema.allOf).map(within),
  ];
  const choices = [schema.anyOf, schema.oneOf]
    .map((parts) => listed(parts).map(within))
    .filter((parts) => parts.length > 0);
  return {
    names: [...new Set([...all, ...choices.flat()].flatMap(({ names }) => names))],
    required: new Set([...all.flatMap(({ required }) => [...required]), ...choices.flatMap(requiredByAll)]),
    closed: all.some(({ closed }) => closed) || choices.some((parts) => parts.every(({ closed }) => closed)),
  };
}

const requiredByAll = ([first, ...others]: readonly Arguments[]): string[] =>
  [...first!.required].filter((key) => others.every(({ required }) => required.has(key)));

/** `#/$defs/Point` in the same schema. */
function referred(reference: string, root: Schema): unknown {
  if (!reference.startsWith('#')) return undefined;
  const steps = reference
    .slice(1)
    .split('/')
    .filter((step) => step !== '');
  return steps.reduce<unknown>(
    (at, step) => (isSchema(at) ? at[decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')] : undefined),
    root,
  );
}

const listed = (parts: unknown): readonly unknown[] => (Array.isArray(parts) ? parts : []);
const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
