import { closest, distance } from 'fastest-levenshtein';
import { z } from 'zod';
import type { Task } from '../../schemas/task.js';
import { AlgorithmConfig, TrainConfig } from '../../schemas/train-config.js';
import { about, fieldsOf, lastOf, parentOf, type Fields } from './config-fields.js';

/** The configuration cannot be run; the message lists every problem found, one a line. */
export class BadConfig extends Error {
  override name = 'BadConfig';
  constructor(readonly problems: readonly string[]) {
    super(
      problems.length === 1
        ? `The configuration has a problem: ${problems[0]}`
        : `The configuration has ${problems.length} problems:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
    );
  }
}

/**
 * The configuration of a run with every default spelled out.
 *
 * @throws {BadConfig} that names each problem at once: path, value found, what was expected, the nearest known key
 */
export const resolveConfig = (input: unknown): TrainConfig => checkedConfig(TrainConfig, input);

/** A configuration of any form, with every default spelled out. @throws {BadConfig} as `resolveConfig` */
export function checkedConfig<T>(schema: z.ZodType<T>, input: unknown): T {
  const given = withoutSchemaReference(input);
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const algorithm = algorithmOf(given);
  const fields = fieldsOf(schema, algorithm);
  const problems = parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => unknownKey([...issue.path, key], schema, fields, algorithm))
      : [`${wrongValue(issue, given)}${about(fields, dotted(issue.path))}`],
  );
  throw new BadConfig(problems);
}

/** A document without the key by which it names its JSON schema for editors: that says nothing about the run. */
export function withoutSchemaReference(input: unknown): unknown {
  if (!isObject(input) || Array.isArray(input) || typeof input['$schema'] !== 'string') return input;
  const { $schema: _, ...rest } = input;
  return rest;
}

function wrongValue(issue: z.core.$ZodIssue, input: unknown): string {
  const found = valueAt(input, issue.path);
  const path = dotted(issue.path) || 'the configuration';
  if (found === undefined && issue.code !== 'custom') return `${path} is missing: ${lowerFirst(issue.message)}`;
  if (issue.code === 'custom') return `${path} ${issue.message}`;
  return `${path} is ${shown(found)}: ${lowerFirst(issue.message)}`;
}

function unknownKey(path: PropertyKey[], schema: z.ZodType, fields: Fields, algorithm: string | null): string {
  const key = String(path.at(-1));
  const isKnownTo = (name: string) => fieldsOf(schema, name).has(dotted(path));
  const others = algorithm === null ? [] : ALGORITHMS.filter((name) => name !== algorithm && isKnownTo(name));
  if (others.length > 0) {
    return `${dotted(path)} is a setting of ${others.join(', ')}, not of ${algorithm}: leave it out, or choose another algorithm.name`;
  }
  const known = [...fields.keys()];
  const siblings = known.filter((one) => parentOf(one) === dotted(path.slice(0, -1)));
  const elsewhere = known.filter((one) => lastOf(one) === key);
  const names = siblings.map(lastOf);
  const nearest =
    names.find((name) => key.length > 2 && name.startsWith(key)) ??
    (names.length > 0 ? closest(key, names) : undefined);
  const likely =
    nearest !== undefined && (nearest.startsWith(key) || distance(key, nearest) <= Math.max(2, key.length / 3));
  const unknown = `${dotted(path)} is no setting`;
  if (likely) return `${unknown}: did you mean "${nearest}"?${about(fields, dotted([...path.slice(0, -1), nearest]))}`;
  if (elsewhere.length === 0) return `${unknown}: known here: ${names.join(', ')}`;
  const [only, ...more] = elsewhere;
  return `${unknown}: did you mean ${elsewhere.join(' or ')}?${more.length === 0 ? about(fields, only!) : ''}`;
}

const ALGORITHMS = AlgorithmConfig.options.map((variant) => variant.in.shape.name.value);

/** The algorithm that the configuration chooses, if it chooses a known one. */
function algorithmOf(input: unknown): string | null {
  const name = valueAt(input, ['algorithm', 'name']);
  return ALGORITHMS.find((known) => known === name) ?? null;
}

/** Problems between a configuration and the tasks that it names; none is an empty list. */
export function problemsWithTasks(config: TrainConfig, train: readonly Task[], heldout: readonly Task[]): string[] {
  const { rollout, algorithm, environment } = config;
  const problems: string[] = [];
  const set = `task set "${environment.taskSet}" of environment "${environment.name}"`;
  if (train.length === 0) problems.push(`environment.taskSet: the ${set} has no training task`);
  const tooLong = [...train, ...heldout].filter((task) => task.turns > rollout.maxTurns);
  if (tooLong.length > 0) {
    problems.push(
      `rollout.maxTurns is ${rollout.maxTurns}, but ${tooLong.length} task(s) of the ${set} have more turns ` +
        `(${tooLong
          .slice(0, 3)
          .map((task) => `${task.id}: ${task.turns}`)
          .join(', ')}): raise it to ${Math.max(...tooLong.map((task) => task.turns))} or choose another task set`,
    );
  }
  const perIteration = rollout.tasksPerIteration ?? train.length;
  if (perIteration > train.length) {
    problems.push(
      `rollout.tasksPerIteration is ${perIteration}, but the ${set} has ${train.length} training task(s): lower it, or null for all of them`,
    );
  }
  if (rollout.tasksPerIteration === null && algorithm.minibatches > train.length) {
    problems.push(
      `algorithm.minibatches is ${algorithm.minibatches}, but an iteration has only ${train.length} task(s) to deal over them: lower it`,
    );
  }
  const repeated = repeats([...train, ...heldout].map((task) => task.id));
  if (repeated.length > 0) {
    problems.push(
      `environment.taskSet: task(s) ${repeated.slice(0, 3).join(', ')} of the ${set} are listed twice; training and held-out tasks must not meet`,
    );
  }
  return problems;
}

const repeats = (ids: readonly string[]): string[] => [
  ...new Set(ids.filter((id, index) => ids.indexOf(id) !== index)),
];

/** Paths at which two configurations differ, with both values: what a refusal to mix them must name. */
export function differences(stored: unknown, given: unknown, path = ''): string[] {
  if (Object.is(stored, given)) return [];
  if (!isObject(stored) || !isObject(given))
    return [`${path || 'the configuration'}: stored ${shown(stored)}, given ${shown(given)}`];
  const keys = [...new Set([...Object.keys(stored), ...Object.keys(given)])].sort();
  return keys.flatMap((key) => differences(stored[key], given[key], path ? `${path}.${key}` : key));
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((inner, key) => (isObject(inner) ? inner[key as string] : undefined), value);
const dotted = (path: readonly PropertyKey[]): string => path.map(String).join('.');
const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
/** A value as a message shows it: JSON, cut. */
const shown = (value: unknown): string => {
  const text = value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};
