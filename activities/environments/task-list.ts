import { prettifyError, z } from 'zod';
import { Split, type Task } from '../../schemas/task.js';
import { linesOf, readTextFile } from '../text-file.js';
import { ANSWERS } from './answers.js';
import { ask } from './author-calls.js';
import { BadEnvironmentDefinition, type Parameters, type TaskSpec } from './definition.js';
import { described } from './described.js';
import { nearestName } from './nearest-name.js';

/** A task with what the author's schema read of it. */
export interface KnownTask extends Omit<Task, 'split'> {
  readonly split: Task['split'] | 'demonstration';
  readonly fields: unknown;
}

/** A module's surroundings. */
export interface ModuleSite {
  /** Its folder: where commands that it names run. */
  readonly folder: string;
  /** Leads from a path relative to the module to a file that may be read, or throws. */
  file(relative: string): string;
}

interface Line {
  readonly value: unknown;
  /** E.g. `tasks[3]`, or the file and its line. */
  readonly where: string;
}

const USES = [...Split.options, 'demonstration'] as const;
const TaskHead = z.object({ id: z.string().min(1).max(200), split: z.enum(USES) });
/** So many faults are told, and how many more there are. */
const SHOWN_FAULTS = 5;
/** `turns` must give the thread back within it. */
const TURNS_TIMEOUT_MS = 10_000;

/**
 * The author's tasks by id, in their order.
 *
 * @throws {BadEnvironmentDefinition} naming the lines or indices of the tasks that are not of the schema's form
 */
export async function readTasks(spec: TaskSpec<Parameters>, site: ModuleSite): Promise<ReadonlyMap<string, KnownTask>> {
  const { name, tasks: given } = spec;
  const listed =
    typeof given === 'string'
      ? await jsonLines(site.file(given))
      : [...given].map((value: unknown, index) => ({ value, where: `tasks[${index}]` }));
  if (listed.length === 0)
    throw new BadEnvironmentDefinition(`environment ${name}: tasks: ${String(given)} has no line with a task`);
  const known = new Map<string, KnownTask>();
  const faults: string[] = [];
  for (const line of listed) {
    const task = readTask(spec, line, known);
    if (typeof task === 'string') faults.push(`${line.where}: ${task}`);
    else known.set(task.id, task);
  }
  if (faults.length === 0) return known;
  const more = faults.length > SHOWN_FAULTS ? `; and ${faults.length - SHOWN_FAULTS} more tasks are wrong` : '';
  throw new BadEnvironmentDefinition(`environment ${name}, ${faults.slice(0, SHOWN_FAULTS).join('; ')}${more}`);
}

/** A task, or what is wrong with it. */
function readTask(
  { name, task: schema, turns }: TaskSpec<Parameters>,
  { value }: Line,
  known: ReadonlyMap<string, KnownTask>,
): KnownTask | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return `is ${described(value)}, expected { id, split, ... }`;
  try {
    const head = TaskHead.safeParse(value);
    if (!head.success) return inWords(head.error);
    const { id, split } = head.data;
    const { id: _id, split: _split, ...rest } = value as Record<string, unknown>;
    const slips = misspelt(rest, Object.keys(schema.shape));
    const parsed = schema.safeParse(rest);
    const wrong = [...slips, ...(parsed.success ? [] : [inWords(parsed.error)])];
    if (wrong.length > 0) return wrong.join('; ');
    if (known.has(id)) return `id ${JSON.stringify(id)} is taken, every task needs its own`;
    structuredClone(parsed.data); // what an episode gets is a copy
    if (typeof turns === 'number') return { id, split, turns, fields: parsed.data };
    const asked = {
      where: `environment ${name}, task ${id}`,
      slot: 'turns',
      answer: ANSWERS.turns,
      timeoutMs: TURNS_TIMEOUT_MS,
    };
    return { id, split, turns: ask<number>(asked, () => turns(parsed.data as never)), fields: parsed.data };
  } catch (error) {
    if (error instanceof z.core.$ZodAsyncError)
      return 'the schema `task` has an async check, expected one that does not wait';
    return error instanceof Error ? error.message.replace(`environment ${name}, `, '') : described(error);
  }
}

/** Fields that the schema does not read, with the name of one that it misses here: `gaol` for `goal`. What else it does not read is left out. */
function misspelt(given: Readonly<Record<string, unknown>>, fields: readonly string[]): string[] {
  const missing = fields.filter((field) => !(field in given));
  return Object.keys(given).flatMap((key) => {
    const meant = fields.includes(key) ? null : nearestName(key, missing);
    return meant === null ? [] : [`${key} is no field of a task: did you mean ${meant}?`];
  });
}

const inWords = (error: z.core.$ZodError): string => prettifyError(error).replaceAll('\n', ' ');

/** Tasks of one side of the split, as the rollout lists them. */
export const tasksOf = (known: ReadonlyMap<string, KnownTask>, split: Split): Task[] =>
  [...known.values()].filter((task) => task.split === split).map(({ id, turns }) => ({ id, split, turns }));

async function jsonLines(file: string): Promise<Line[]> {
  const text = await readTextFile(file).catch((error: Error) => {
    throw new BadEnvironmentDefinition(`tasks: ${error.message}`);
  });
  if (/^\s*\[/.test(text))
    throw new BadEnvironmentDefinition(
      `tasks: ${file}: is a JSON array, expected JSON Lines: an object a line, { "id": ..., "split": "train", ... }`,
    );
  return linesOf(text).flatMap((line, index) => {
    if (line.trim() === '') return [];
    const where = `${file}, line ${index + 1}`;
    try {
      return [{ value: JSON.parse(line) as unknown, where }];
    } catch (error) {
      throw new BadEnvironmentDefinition(`${where}: no JSON (${(error as Error).message})`);
    }
  });
}
