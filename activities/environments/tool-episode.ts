import { setTimeout as sleep } from 'node:timers/promises';
import type { Action, Message, Observation, ToolCall, Verdict } from '../../schemas/environment-protocol.js';
import { uniform } from '../numerics/random.js';
import type { WellFormedCall } from '../rollout/tool-calls.js';
import { BadEnvironmentDefinition, verdictOf, type EpisodeView, type Parameters, type PlayedCall, type PlayedTurn, type ToolUseSpec } from './definition.js';
import { EnvironmentProtocolError, EnvironmentUnavailable } from './environment.js';
import type { PlayableEpisode } from './in-process-environment.js';
import type { KnownTask } from './task-list.js';
import type { Toolbox, ToolSignature } from './toolbox.js';
import { toolsPrompt } from './tools-prompt.js';

const MAX_CALLS = 8;
const MAX_RESULT_CHARACTERS = 2_000;
export const STEP_TIMEOUT_MS = 10_000;

/** What a new episode was given. */
export interface OpenedTools {
  readonly toolbox: Toolbox;
  readonly state: unknown;
  /** What the author's functions see besides the episode. */
  readonly extras?: object;
}

/** One episode with tools: the state, and what the model said and did. */
export class ToolEpisode implements PlayableEpisode {
  private readonly turns: PlayedTurn[] = [];
  private draws = 0;
  private readonly view: EpisodeView<unknown, unknown>;
  private readonly toolbox: Toolbox;

  constructor(
    private readonly spec: ToolUseSpec<Parameters, EpisodeView<unknown, unknown>>,
    private readonly task: KnownTask,
    seed: number,
    { toolbox, state, extras }: OpenedTools,
  ) {
    this.toolbox = toolbox;
    this.view = {
      ...extras,
      task: structuredClone(task.fields),
      state,
      turns: this.turns,
      random: () => uniform(`${spec.name}/${task.id}/${seed}/${this.draws++}`),
    };
  }

  start(): Pick<Observation, 'messages' | 'done'> {
    const { prompt, format = 'call-lines' } = this.spec;
    const said = this.guarded('prompt', () => prompt(structuredClone(this.task.fields) as never));
    const asked: readonly Message[] = typeof said === 'string' ? [{ role: 'user', content: said }] : said;
    const own = asked[0]?.role === 'system' ? asked[0].content : null;
    const system = [...(own === null ? [] : [own]), toolsPrompt(this.toolbox.signatures, format)].join('\n\n');
    return { messages: [{ role: 'system', content: system }, ...(own === null ? asked : asked.slice(1))], done: false };
  }

  async step(action: Action): Promise<Pick<Observation, 'messages' | 'done'>> {
    const { next, stepTimeoutMs = STEP_TIMEOUT_MS } = this.spec;
    const tooLate = new AbortController();
    const calls = await Promise.race([
      this.execute(action.calls),
      sleep(stepTimeoutMs, undefined, { signal: tooLate.signal, ref: false }).then(() => {
        throw new EnvironmentUnavailable(`environment ${this.spec.name}, task ${this.task.id}: a step took longer than ${stepTimeoutMs} ms`);
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

  async verdict(): Promise<Verdict> {
    try {
      return verdictOf(await this.spec.verify(this.view), this.turns.length);
    } catch (error) {
      throw this.fault('verify', error);
    }
  }

  close(): Promise<void> {
    return this.toolbox.close();
  }

  private resultLine(result: string): string {
    return this.spec.format === 'hermes' ? `<tool_response>\n${result}\n</tool_response>` : `Result: ${result}`;
  }

  private async execute(written: readonly ToolCall[]): Promise<PlayedCall[]> {
    const { maxCalls = MAX_CALLS } = this.spec;
    const played: PlayedCall[] = [];
    for (const call of written.slice(0, maxCalls)) {
      const entry = 'malformed' in call ? refused('', `Error: ${call.malformed}`) : await this.call(call);
      played.push({ ...entry, result: this.cut(entry.result) });
    }
    if (written.length > maxCalls) played.push(refused('', `Error: ${written.length} calls in one response, only the first ${maxCalls} were executed`));
    return played;
  }

  private async call({ name, positional, keyword }: WellFormedCall): Promise<PlayedCall> {
    const tool = this.toolbox.signatures.find((signature) => signature.name === name);
    if (!tool) {
      return refused(name, `Error: ${JSON.stringify(name.slice(0, 40))} is not a tool, the tools are ${this.toolbox.signatures.map((signature) => signature.name).join(', ')}`);
    }
    const given = argumentsOf(tool, positional, keyword);
    if (typeof given === 'string') return refused(name, `Error: ${name}: ${given}`);
    try {
      const { result, accepted } = await this.toolbox.run(name, given, { ...this.view, turns: [...this.turns] });
      return { tool: name, arguments: given, result: wellFormed(result), accepted };
    } catch (error) {
      throw this.fault(`tool ${name}`, error);
    }
  }

  private cut(result: string): string {
    const { maxResultCharacters: limit = MAX_RESULT_CHARACTERS } = this.spec;
    return result.length <= limit ? result : wellFormed(`${result.slice(0, limit)} [cut: ${result.length - limit} more characters]`);
  }

  private guarded<R>(what: string, work: () => R): R {
    try {
      return work();
    } catch (error) {
      throw this.fault(what, error);
    }
  }

  private fault(what: string, error: unknown): Error {
    return authorFault(`environment ${this.spec.name}, task ${this.task.id}, turn ${this.turns.length + 1}: ${what}`, error);
  }
}

/** An exception of the author's code is no observation: nothing may be trained on it. A server that is away stays what it is. */
export function authorFault(where: string, error: unknown): Error {
  if (error instanceof EnvironmentUnavailable || error instanceof EnvironmentProtocolError || error instanceof BadEnvironmentDefinition) return error;
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new EnvironmentProtocolError('environment_fault', `${where} threw ${said}: correct it; for what the model did wrong, throw a ToolError`, { cause: error });
}

const refused = (tool: string, result: string): PlayedCall => ({ tool, arguments: {}, result: wellFormed(result), accepted: false });

/** Arguments by name, or what is wrong with them. */
function argumentsOf({ parameters, takesOthers }: ToolSignature, positional: WellFormedCall['positional'], keyword: WellFormedCall['keyword']): Record<string, unknown> | string {
  const names = parameters.map(({ name }) => name);
  if (positional.length > names.length) return `takes ${names.length} argument(s), ${positional.length} were given`;
  const given = new Map<string, unknown>(positional.map((value, index) => [names[index]!, plain(value)]));
  for (const [key, value] of Object.entries(keyword)) {
    if (!takesOthers && !names.includes(key)) return `has no argument ${JSON.stringify(key.slice(0, 40))}, it has ${names.join(', ') || 'none'}`;
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
