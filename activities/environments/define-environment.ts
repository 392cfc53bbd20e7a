import { z } from 'zod';
import type { Message, Verdict } from '../../schemas/environment-protocol.js';
import type { CallFormat } from '../rollout/tool-calls.js';

export { z };

/** Thrown by a tool for what the model did wrong; the text is what the model reads. Any other error is a fault of the environment. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
}

/** A call that was executed or refused, and what the model reads of it. */
export interface PlayedCall {
  readonly tool: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly result: string;
  /** False if the tool does not exist, the arguments do not fit it, or it threw a ToolError. */
  readonly accepted: boolean;
}

/** One response of the model. */
export interface PlayedTurn {
  readonly content: string;
  readonly calls: readonly PlayedCall[];
}

/** What tools and the verifier see. */
export interface EpisodeView<Task, State> {
  readonly task: Task;
  /** The episode's own; tools change it in place. */
  readonly state: State;
  /** Responses so far; a tool does not see the one it is called from. */
  readonly turns: readonly PlayedTurn[];
  /** Uniform in [0, 1), by the episode's seed and the number of draws so far: environments are deterministic, Math.random is not. */
  random(): number;
}

type Parameters = z.ZodObject;

interface Tool<P extends Parameters, Task, State> {
  readonly description: string;
  /** Positional arguments follow the order of its keys. */
  readonly parameters: P;
  /** What the model reads: a text as it is, anything else as JSON. Throw a ToolError to refuse. */
  run(input: z.output<P>, episode: EpisodeView<Task, State>): unknown;
}

/** A verifier's word: passed or not, a score in [0, 1], or all of it. */
export type Judgement = boolean | number | { readonly score: number; readonly success?: boolean; readonly turnsPassed?: readonly boolean[] };

/** Where a line of the task file belongs; `demonstration` lines are for the warm start only. */
export type TaskUse = 'train' | 'heldout' | 'demonstration';
type Listed<Task> = Task & { readonly id: string; readonly split: TaskUse };

/** An environment as its author writes it; types infer from `task`, `start` and each tool's `parameters`. */
export interface EnvironmentSpec<T extends Parameters, State, Tools extends Record<string, Parameters>> {
  readonly name: string;
  /** Fields of a task, besides `id` and `split`. */
  readonly task: T;
  /** The tasks, or a JSONL file beside the module: one object a line, `{"id": ..., "split": "train", ...}`. */
  readonly tasks: string | readonly Listed<z.input<T>>[];
  /** Responses that a task takes at most: the T of SeeUPO. */
  readonly turns: number | ((task: z.output<T>) => number);
  /** The state that an episode starts in; left out: none. */
  start?(task: z.output<T>): State;
  /** The user's first message, or the whole conversation before the first response (the tools are put before it). */
  prompt(task: z.output<T>): string | readonly Message[];
  readonly tools: { readonly [K in keyof Tools]: Tool<Tools[K], z.output<T>, State> };
  /**
   * What the user says after a response; null ends the episode. Left out: results only, and a response
   * without a call ends it.
   */
  next?(episode: EpisodeView<z.output<T>, State>): string | null;
  /** The reward, from the finished episode. Called on any episode, also one that was cut at its last turn. */
  verify(episode: EpisodeView<z.output<T>, State>): Judgement;
  /** Right responses to a task, in order: what the conformance kit plays and a warm start imitates. */
  solve?(task: z.output<T>): readonly string[];
  /** How the model writes calls: `CALL add(2, b=3)` lines, or Hermes/Qwen `<tool_call>` JSON. */
  readonly format?: CallFormat;
  /** Calls of one response that are executed, 8 if left out. */
  readonly maxCalls?: number;
  /** Longer results are cut, 2000 characters if left out. */
  readonly maxResultCharacters?: number;
  /** For one response, 10 s if left out. A tool that never gives the thread back cannot be ended by it. */
  readonly stepTimeoutMs?: number;
}

/** A spec without its type parameters: what the engine plays. */
export interface EnvironmentDefinition extends Omit<EnvironmentSpec<Parameters, unknown, Record<string, Parameters>>, 'start' | 'prompt' | 'next' | 'verify' | 'solve' | 'turns' | 'tools' | 'tasks'> {
  readonly tasks: string | readonly unknown[];
  readonly turns: number | ((task: unknown) => number);
  readonly start?: (task: unknown) => unknown;
  readonly prompt: (task: unknown) => string | readonly Message[];
  readonly tools: Readonly<Record<string, { description: string; parameters: Parameters; run(input: unknown, episode: EpisodeView<unknown, unknown>): unknown }>>;
  readonly next?: (episode: EpisodeView<unknown, unknown>) => string | null;
  readonly verify: (episode: EpisodeView<unknown, unknown>) => Judgement;
  readonly solve?: (task: unknown) => readonly string[];
}

/** A registered symbol: the module that defines an environment may have loaded its own copy of this file. */
const BRAND = Symbol.for('seeupo.environment');

/** The definition is wrong; the message says at which field. */
export class BadEnvironmentDefinition extends Error {
  override readonly name = 'BadConfig';
}

/**
 * An environment in one file: zod schemas for tasks and tools, a verifier for the reward. Export it as
 * default and name its file in `environment.name` or `--environment`.
 *
 * @throws {BadEnvironmentDefinition}
 */
export function defineEnvironment<T extends Parameters, Tools extends Record<string, Parameters>, State = undefined>(
  spec: EnvironmentSpec<T, State, Tools>,
): EnvironmentDefinition {
  const wrong = problemOf(spec as unknown as EnvironmentDefinition);
  if (wrong !== null) throw new BadEnvironmentDefinition(`environment ${JSON.stringify(spec.name)}: ${wrong}`);
  return Object.freeze({ ...spec, [BRAND]: true }) as unknown as EnvironmentDefinition;
}

export const isEnvironmentDefinition = (value: unknown): value is EnvironmentDefinition =>
  typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;

function problemOf(spec: EnvironmentDefinition): string | null {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(spec.name)) return 'name: expected small letters, digits and -, e.g. "unit-prices"';
  const tools = Object.entries(spec.tools);
  if (tools.length === 0) return 'tools: there is none, and a turn consists of tool calls';
  const badName = tools.find(([name]) => !/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name));
  if (badName) return `tools: ${JSON.stringify(badName[0])} is no name, expected letters, digits and _`;
  if (typeof spec.turns === 'number' && !(Number.isInteger(spec.turns) && spec.turns > 0)) return `turns: is ${spec.turns}, expected a whole number from 1`;
  return null;
}

/** The judgement in full; a score outside [0, 1] or no number is the verifier's fault. */
export function verdictOf(judgement: Judgement, turnsPlayed: number): Verdict {
  const { score, success, turnsPassed } = typeof judgement === 'object' ? judgement : { score: Number(judgement), success: undefined, turnsPassed: undefined };
  if (!(score >= 0 && score <= 1)) throw new RangeError(`verify gave the score ${String(score)}, expected a number from 0 to 1`);
  const solved = success ?? score === 1;
  return { score, success: solved, turnsPassed: turnsPassed ? [...turnsPassed] : Array.from({ length: turnsPlayed }, () => solved) };
}
