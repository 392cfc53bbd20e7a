import { readFile } from 'node:fs/promises';
import { prettifyError, z } from 'zod';
import { Split, type Task } from '../../schemas/task.js';
import { BadEnvironmentDefinition, type Parameters, type TaskSpec } from './definition.js';

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

const TaskHead = z.object({ id: z.string().min(1).max(200), split: z.enum([...Split.options, 'demonstration']) });

/**
 * The author's tasks by id, in their order.
 *
 * @throws {BadEnvironmentDefinition} naming the line or index of a task that is not of the schema's form
 */
export async function readTasks({ name, task: schema, tasks: given, turns }: TaskSpec<Parameters>, site: ModuleSite): Promise<ReadonlyMap<string, KnownTask>> {
  const listed = typeof given === 'string' ? await jsonLines(site.file(given)) : given.map((value: unknown, index) => ({ value, where: `tasks[${index}]` }));
  const known = new Map<string, KnownTask>();
  for (const { value, where } of listed) {
    const refuse = (error: z.ZodError): never => {
      throw new BadEnvironmentDefinition(`environment ${name}, ${where}: ${prettifyError(error).replaceAll('\n', ' ')}`);
    };
    const parsed = TaskHead.safeParse(value);
    const { id, split } = parsed.success ? parsed.data : refuse(parsed.error);
    const { id: _id, split: _split, ...rest } = value as Record<string, unknown>;
    const fields = schema.safeParse(rest);
    if (!fields.success) refuse(fields.error);
    if (known.has(id)) throw new BadEnvironmentDefinition(`environment ${name}, ${where}: id ${JSON.stringify(id)} is taken, every task needs its own`);
    known.set(id, { id, split, turns: typeof turns === 'number' ? turns : turns(fields.data!), fields: fields.data });
  }
  return known;
}

/** Tasks of one side of the split, as the rollout lists them. */
export const tasksOf = (known: ReadonlyMap<string, KnownTask>, split: Split): Task[] =>
  [...known.values()].filter((task) => task.split === split).map(({ id, turns }) => ({ id, split, turns }));

async function jsonLines(file: string): Promise<{ value: unknown; where: string }[]> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new BadEnvironmentDefinition(`tasks: ${error.message}`);
  });
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const where = `${file}, line ${index + 1}`;
    try {
      return [{ value: JSON.parse(line) as unknown, where }];
    } catch (error) {
      throw new BadEnvironmentDefinition(`${where}: no JSON (${(error as Error).message})`);
    }
  });
}
