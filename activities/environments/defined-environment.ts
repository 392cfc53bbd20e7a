import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { prettifyError, z } from 'zod';
import type { Action, Demonstration, Message, Observation, ToolCall, Verdict } from '../../schemas/environment-protocol.js';
import { Split, type Task } from '../../schemas/task.js';
import { uniform } from '../numerics/random.js';
import { parseCalls, type CallFormat, type WellFormedCall } from '../rollout/tool-calls.js';
import { BadEnvironmentDefinition, verdictOf, type EnvironmentDefinition, type EpisodeView, type PlayedCall, type PlayedTurn } from './define-environment.js';
import { EnvironmentProtocolError, EnvironmentUnavailable } from './environment.js';
import { InProcessEnvironment, type PlayableEpisode, type PlayableEnvironment } from './in-process-environment.js';
import { toolsPrompt } from './tools-prompt.js';

const MAX_CALLS = 8;
const MAX_RESULT_CHARACTERS = 2_000;
const STEP_TIMEOUT_MS = 10_000;

interface KnownTask extends Omit<Task, 'split'> {
  readonly split: Task['split'] | 'demonstration';
  /** What the author's task schema read. */
  readonly fields: unknown;
}

/** A definition as an environment; `tasksFile` leads from `definition.tasks` to a file that may be read. */
export const openDefinition = (definition: EnvironmentDefinition, tasksFile: (relative: string) => string): InProcessEnvironment =>
  new InProcessEnvironment(new DefinedEnvironment(definition, tasksFile));

class DefinedEnvironment implements PlayableEnvironment {
  readonly name: string;
  readonly callFormat: CallFormat;
  private known: Promise<ReadonlyMap<string, KnownTask>> | undefined;

  constructor(
    private readonly definition: EnvironmentDefinition,
    private readonly tasksFile: (relative: string) => string,
  ) {
    this.name = definition.name;
    this.callFormat = definition.format ?? 'call-lines';
  }

  async listTasks(split: Split): Promise<Task[]> {
    const tasks = [...(await this.tasks()).values()];
    return tasks.filter((task) => task.split === split).map(({ id, turns }) => ({ id, split, turns }));
  }

  async open(taskId: string, seed: number): Promise<PlayableEpisode | null> {
    const task = (await this.tasks()).get(taskId);
    return task ? new DefinedEpisode(this.definition, task, seed) : null;
  }

  /** Conversations in which `solve` plays the tasks of the split `demonstration`. */
  async demonstrations(): Promise<Demonstration[]> {
    const { solve } = this.definition;
    if (!solve) return [];
    const chosen = [...(await this.tasks()).values()].filter(({ split }) => split === 'demonstration');
    return Promise.all(
      chosen.map(async (task) => {
        const episode = new DefinedEpisode(this.definition, task, 0);
        const messages = [...episode.start().messages];
        const firstTarget = messages.length;
        for (const content of solve(task.fields)) {
          messages.push({ role: 'assistant', content });
          const after = await episode.step({ content, calls: parseCalls(content, this.callFormat) });
          if (after.done) break;
          messages.push(...after.messages);
        }
        while (messages.at(-1)?.role !== 'assistant' && messages.length > firstTarget) messages.pop();
        return { taskId: task.id, messages, firstTarget };
      }),
    );
  }

  /** Responses of the author's solution, for the conformance kit; null where there is none. */
  async solution(taskId: string): Promise<readonly string[] | null> {
    const task = (await this.tasks()).get(taskId);
    return task && this.definition.solve ? this.definition.solve(task.fields) : null;
  }

  private tasks(): Promise<ReadonlyMap<string, KnownTask>> {
    return (this.known ??= this.readTasks());
  }

  private async readTasks(): Promise<ReadonlyMap<string, KnownTask>> {
    const { tasks: given, task: schema, turns } = this.definition;
    const listed = typeof given === 'string' ? await jsonLines(this.tasksFile(given)) : given.map((value, index) => ({ value, where: `tasks[${index}]` }));
    const head = z.object({ id: z.string().min(1).max(200), split: z.enum([...Split.options, 'demonstration']) });
    const known = new Map<string, KnownTask>();
    for (const { value, where } of listed) {
      const refuse = (error: z.ZodError): never => {
        throw new BadEnvironmentDefinition(`environment ${this.name}, ${where}: ${prettifyError(error).replaceAll('\n', ' ')}`);
      };
      const parsed = head.safeParse(value);
      const { id, split } = parsed.success ? parsed.data : refuse(parsed.error);
      const { id: _id, split: _split, ...rest } = value as Record<string, unknown>;
      const fields = schema.safeParse(rest);
      if (!fields.success) refuse(fields.error);
      if (known.has(id)) throw new BadEnvironmentDefinition(`environment ${this.name}, ${where}: id ${JSON.stringify(id)} is taken, every task needs its own`);
      known.set(id, { id, split, turns: typeof turns === 'number' ? turns : turns(fields.data), fields: fields.data });
    }
    return known;
  }
}

/** One episode: the state, and what the model said and did. */
class DefinedEpisode implements PlayableEpisode {
  private readonly state: unknown;
  private readonly turns: PlayedTurn[] = [];
  private draws = 0;
  private readonly view: EpisodeView<unknown, unknown>;

  constructor(
    private readonly definition: EnvironmentDefinition,
    private readonly task: KnownTask,
    seed: number,
  ) {
    const fields = structuredClone(task.fields);
    this.state = definition.start?.(structuredClone(task.fields));
    this.view = {
      task: fields,
      state: this.state,
      turns: this.turns,
      random: () => uniform(`${definition.name}/${task.id}/${seed}/${this.draws++}`),
    };
  }

  start(): Pick<Observation, 'messages' | 'done'> {
    const { tools, prompt, format = 'call-lines' } = this.definition;
    const said = prompt(structuredClone(this.task.fields));
    const asked: readonly Message[] = typeof said === 'string' ? [{ role: 'user', content: said }] : said;
    const own = asked[0]?.role === 'system' ? asked[0].content : null;
    const system = [...(own === null ? [] : [own]), toolsPrompt(tools, format)].join('\n\n');
    return { messages: [{ role: 'system', content: system }, ...(own === null ? asked : asked.slice(1))], done: false };
  }

  async step(action: Action): Promise<Pick<Observation, 'messages' | 'done'>> {
    const { next, stepTimeoutMs = STEP_TIMEOUT_MS } = this.definition;
    const tooLate = new AbortController();
    const calls = await Promise.race([
      this.execute(action.calls),
      sleep(stepTimeoutMs, undefined, { signal: tooLate.signal, ref: false }).then(() => {
        throw new EnvironmentUnavailable(`environment ${this.definition.name}, task ${this.task.id}: a step took longer than ${stepTimeoutMs} ms`);
      }),
    ]).finally(() => tooLate.abort());
    this.turns.push({ content: action.content, calls });
    const lines = calls.map(({ result }) => this.resultLine(result));
    const last = this.turns.length >= this.task.turns;
    const said = next ? this.guarded('next', () => next(this.view)) : calls.length > 0 ? '' : null;
    const content = [...lines, ...(said ? [said] : [])].join('\n');
    const done = last || said === null;
    return { messages: content === '' ? (done ? [] : [{ role: 'user', content: '(no call)' }]) : [{ role: 'user', content }], done };
  }

  verdict(): Verdict {
    return this.guarded('verify', () => verdictOf(this.definition.verify(this.view), this.turns.length));
  }

  private resultLine(result: string): string {
    return this.definition.format === 'hermes' ? `<tool_response>\n${result}\n</tool_response>` : `Result: ${result}`;
  }

  private async execute(written: readonly ToolCall[]): Promise<PlayedCall[]> {
    const { maxCalls = MAX_CALLS } = this.definition;
    const played: PlayedCall[] = [];
    for (const call of written.slice(0, maxCalls)) {
      const entry = 'malformed' in call ? refused('', `Error: ${call.malformed}`) : await this.call(call);
      played.push({ ...entry, result: this.cut(entry.result) });
    }
    if (written.length > maxCalls) played.push(refused('', `Error: ${written.length} calls in one response, only the first ${maxCalls} were executed`));
    return played;
  }

  private async call({ name, positional, keyword }: WellFormedCall): Promise<PlayedCall> {
    const { tools } = this.definition;
    const tool = Object.hasOwn(tools, name) ? tools[name] : undefined;
    if (!tool) return refused(name, `Error: ${JSON.stringify(name.slice(0, 40))} is not a tool, the tools are ${Object.keys(tools).join(', ')}`);
    const names = Object.keys(tool.parameters.shape);
    const given = argumentsOf(names, positional, keyword);
    if (typeof given === 'string') return refused(name, `Error: ${name}: ${given}`);
    const parsed = tool.parameters.safeParse(given);
    if (!parsed.success) {
      const said = parsed.error.issues.map((issue) => `${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${issue.message}`);
      return refused(name, `Error: ${name}: ${said.join('; ')}`, given);
    }
    try {
      const result: unknown = await tool.run(parsed.data, { ...this.view, turns: [...this.turns] });
      return { tool: name, arguments: given, result: wellFormed(typeof result === 'string' ? result : (JSON.stringify(result) ?? 'done')), accepted: true };
    } catch (error) {
      if ((error as Error | null)?.name === 'ToolError') return refused(name, `Error: ${wellFormed((error as Error).message)}`, given);
      throw this.fault(`tool ${name}`, error);
    }
  }

  private cut(result: string): string {
    const { maxResultCharacters: limit = MAX_RESULT_CHARACTERS } = this.definition;
    return result.length <= limit ? result : wellFormed(`${result.slice(0, limit)} [cut: ${result.length - limit} more characters]`);
  }

  private guarded<R>(what: string, work: () => R): R {
    try {
      return work();
    } catch (error) {
      throw this.fault(what, error);
    }
  }

  /** An exception of the author's code is no observation: nothing may be trained on it. */
  private fault(what: string, error: unknown): Error {
    const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return new EnvironmentProtocolError(
      'environment_fault',
      `environment ${this.definition.name}, task ${this.task.id}, turn ${this.turns.length + 1}: ${what} threw ${said}: ` +
        'correct it; for what the model did wrong, throw a ToolError',
      { cause: error },
    );
  }
}

const refused = (tool: string, result: string, given: Readonly<Record<string, unknown>> = {}): PlayedCall => ({ tool, arguments: given, result: wellFormed(result), accepted: false });

/** Arguments by name, or what is wrong with them. */
function argumentsOf(names: readonly string[], positional: WellFormedCall['positional'], keyword: WellFormedCall['keyword']): Record<string, unknown> | string {
  if (positional.length > names.length) return `takes ${names.length} argument(s), ${positional.length} were given`;
  const given = new Map<string, unknown>(positional.map((value, index) => [names[index]!, plain(value)]));
  for (const [key, value] of Object.entries(keyword)) {
    if (!names.includes(key)) return `has no argument ${JSON.stringify(key.slice(0, 40))}, it has ${names.join(', ') || 'none'}`;
    if (given.has(key)) return `argument ${key} is given twice`;
    given.set(key, plain(value));
  }
  return Object.fromEntries(given);
}

/** `{ $number: "5.0" }` as the number that it is in JavaScript. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]![0] === '$number') return Number(entries[0]![1]);
  return Object.fromEntries(entries.map(([key, item]) => [key, plain(item)]));
}

/** Half a surrogate pair can be sampled, but no JSON file holds it. */
const wellFormed = (text: string): string => text.replaceAll(/\p{Surrogate}/gu, '\ufffd');

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
