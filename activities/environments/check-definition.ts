import { z } from 'zod';
import { BadEnvironmentDefinition, KIND, type DefinedEnvironment } from './definition.js';
import { FIELDS, type Kind } from './definition-schema.js';
import { described, isPlainObject, zodType } from './described.js';
import { nearestName } from './nearest-name.js';
import { withoutJsonSchema } from './parameters.js';

/** What other libraries call a field. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  inputschema: 'parameters',
  schema: 'parameters',
  args: 'parameters',
  execute: 'run',
  handler: 'run',
  call: 'run',
  func: 'run',
  reward: 'verify',
  rewards: 'verify',
  score: 'verify',
  reset: 'start',
  setup: 'start',
  init: 'start',
  dataset: 'tasks',
  data: 'tasks',
  system: 'prompt',
  instructions: 'prompt',
  user: 'next',
  solution: 'solve',
  maxsteps: 'turns',
  timeout: 'stepTimeoutMs',
};

/**
 * A spec as `define...` got it, checked whole: every field, also of its tools, no field that is none. Its plain objects are
 * copied and frozen: what the author's module does to them later changes no episode.
 *
 * @throws {BadEnvironmentDefinition} with all that is wrong, each `NAME is X, expected Y`
 */
export function checked<K extends Kind, Spec extends object>(kind: K, spec: Spec): Spec & DefinedEnvironment<K> {
  if (!isPlainObject(spec))
    throw new BadEnvironmentDefinition(
      `environment: the definition is ${described(spec)}, expected { name, task, tasks, ... }`,
    );
  const unreadable = new Map<string, string>();
  const copy = readable(spec, [], unreadable) as Record<string, unknown>;
  const faults = [...unreadable].map(([field, reason]) => `${field} cannot be read: it threw ${reason}`);
  const parsed = z.strictObject(FIELDS[kind]).safeParse(copy);
  const issues = (parsed.error?.issues ?? []).filter(({ path }) => !unreadable.has(path.join('.')));
  faults.push(...issues.flatMap((issue) => inWords(issue, copy, kind)));
  if (kind === 'functions' && copy['format'] === 'hermes') faults.push(...inexpressible(copy['tools']));
  if (faults.length > 0) {
    const name =
      typeof copy['name'] === 'string'
        ? `environment ${JSON.stringify(copy['name'].slice(0, 80))}`
        : 'environment without a name';
    throw new BadEnvironmentDefinition(`${name}: ${faults.join('; ')}`);
  }
  return Object.freeze({ ...copy, [KIND]: kind }) as never;
}

/** The plain objects that a definition is made of, copied; a field that throws when it is read is a fault. */
function readable(value: unknown, path: readonly string[], unreadable: Map<string, string>): unknown {
  if (path.length > 2 || !isPlainObject(value) || zodType(value) !== null) return value;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const at = [...path, key];
    try {
      Object.defineProperty(copy, key, { value: readable(value[key], at, unreadable), enumerable: true });
    } catch (error) {
      unreadable.set(at.join('.'), error instanceof Error ? error.message : described(error));
    }
  }
  return Object.freeze(copy);
}

function inWords(issue: z.core.$ZodIssue, spec: unknown, kind: Kind): string[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => strangerInWords(path, key, kind));
  const above = path
    .slice(0, -1)
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], spec);
  const missing = !isPlainObject(above) || !(path.at(-1)! in above);
  return [`${path.join('.')} ${missing ? issue.message.replace(/^is undefined/, 'is missing') : issue.message}`];
}

/** A field that is none, and the one that was likely meant. */
function strangerInWords(path: readonly string[], key: string, kind: Kind): string {
  const known = fieldsAt(path, kind);
  const meant = nearestName(key, known) ?? known.find((name) => name === ELSEWHERE[key.toLowerCase()]) ?? null;
  return `${[...path, key].join('.')} is no field${meant === null ? '' : `: did you mean ${meant}?`}${meant === null ? `, expected one of ${known.join(', ')}` : ''}`;
}

function fieldsAt(path: readonly string[], kind: Kind): string[] {
  if (path.length === 0) return Object.keys(FIELDS[kind]);
  return path[0] === 'splits' ? ['train', 'heldout'] : ['description', 'parameters', 'run'];
}

/** Parameters that the prompt of `format: 'hermes'`, which shows JSON Schemas, cannot tell the model of. */
function inexpressible(tools: unknown): string[] {
  if (!isPlainObject(tools)) return [];
  return Object.entries(tools).flatMap(([name, tool]) => {
    const parameters = isPlainObject(tool) ? tool['parameters'] : undefined;
    if (zodType(parameters) !== 'object') return [];
    return withoutJsonSchema(parameters as z.ZodObject).map(
      ([key, type]) =>
        `tools.${name}.parameters.${key} is z.${type}, which the JSON Schema of format "hermes" cannot express, expected what JSON holds: z.string(), z.number(), z.iso.date() and the like`,
    );
  });
}
