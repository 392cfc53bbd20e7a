import { z } from 'zod';
import type { Message, Verdict } from '../../schemas/environment-protocol.js';
import type { CallFormat } from '../rollout/tool-calls.js';

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

export type Parameters = z.ZodObject;

/** A verifier's verdict: passed or not, a score in [0, 1], or all of it. */
export type Judgement =
  | boolean
  | number
  | { readonly score: number; readonly success?: boolean; readonly turnsPassed?: readonly boolean[] };

/** Where a line of the task file belongs; `demonstration` lines are for the warm start only. */
export type TaskUse = 'train' | 'heldout' | 'demonstration';
/** `split` is checked when the tasks are read: in a list that is computed, TypeScript knows it as a text only. */
export type Listed<Task> = Task & { readonly id: string; readonly split: TaskUse | (string & {}) };

/**
 * What becomes of a step that fails at work (it takes too long, its server ends or answers nonsense) twice, the second time
 * in a fresh environment after the same steps.
 *
 * `fault`, if left out: the run pauses with the reason. An environment that hangs because its machine does must not become
 * something to learn from, and nobody but the author can tell the two apart. `refuse`: the model reads
 * `Error: search: took longer than 10 s`, in an environment that is as if the call had not been made, and the episode continues.
 */
export type OnStepFailure = 'fault' | 'refuse';

/** Tasks as their author writes them: fields, and where they are. */
export interface TaskSpec<T extends Parameters> {
  readonly name: string;
  /** Fields of a task, besides `id` and `split`. */
  readonly task: T;
  /** The tasks, or a JSONL file beside the module: one object a line, `{"id": ..., "split": "train", ...}`. */
  readonly tasks: string | readonly Listed<z.input<T>>[];
  /** Responses that a task takes at most: the T of SeeUPO. */
  readonly turns: number | ((task: z.output<T>) => number);
}

/** What environments with tools have in common, wherever the tools run; `View` is what the author's functions see. */
export interface ToolUseSpec<T extends Parameters, View> extends TaskSpec<T> {
  /** The user's first message, or the whole conversation before the first response (the tools are put before it). */
  prompt(task: z.output<T>): string | readonly Message[];
  /**
   * What the user says after a response; null ends the episode. Left out: results only, and a response
   * without a call ends it.
   */
  next?(episode: View): string | null;
  /** The reward, from the finished episode. Called on any episode, also one that was cut at its last turn. */
  verify(episode: View): Judgement | Promise<Judgement>;
  /** Right responses to a task, in order: what the conformance kit plays and a warm start imitates. */
  solve?(task: z.output<T>): readonly string[];
  /** How the model writes calls: `CALL add(2, b=3)` lines, or Hermes/Qwen `<tool_call>` JSON. */
  readonly format?: CallFormat;
  /** Calls of one response that are executed, 8 if left out. */
  readonly maxCalls?: number;
  /** Longer results are cut, 2000 characters if left out. */
  readonly maxResultCharacters?: number;
  /** For one response, 10 s if left out. A loop without an end is ended by it too, unless it comes after an `await`. */
  readonly stepTimeoutMs?: number;
  /** For a step that takes too long, or whose server ends or answers nonsense, each time: `fault` if left out. */
  readonly onStepFailure?: OnStepFailure;
}

/** The definition is wrong; the message says at which field. */
export class BadEnvironmentDefinition extends Error {
  override readonly name = 'BadConfig';
}

/** A registered symbol: the module that defines an environment may have loaded its own copy of this file. */
export const KIND = Symbol.for('seeupo.environment');

/** What a module exports as default: a spec that was checked, and of which kind it is. */
export interface DefinedEnvironment<Kind extends string = string> {
  readonly name: string;
  readonly [KIND]: Kind;
}

/** Of a module's default export; null if it is not an environment. */
export const environmentKind = (value: unknown): string | null =>
  typeof value === 'object' && value !== null ? ((value as Partial<DefinedEnvironment>)[KIND] ?? null) : null;

export const badDefinition = ({ name }: { readonly name: string }, wrong: string): BadEnvironmentDefinition =>
  new BadEnvironmentDefinition(`environment ${JSON.stringify(name)}: ${wrong}`);

/** The judgement, which was checked, in full. */
export function verdictOf(judgement: Judgement, turnsPlayed: number): Verdict {
  const { score, success, turnsPassed } =
    typeof judgement === 'object'
      ? judgement
      : { score: Number(judgement), success: undefined, turnsPassed: undefined };
  const solved = success ?? score === 1;
  return {
    score,
    success: solved,
    turnsPassed: turnsPassed ? [...turnsPassed] : Array.from({ length: turnsPlayed }, () => solved),
  };
}

/** @param protocol  without the colon, e.g. `/^https?$/` */
export const isAddress = (url: string, protocol: RegExp): boolean => z.url({ protocol }).safeParse(url).success;
