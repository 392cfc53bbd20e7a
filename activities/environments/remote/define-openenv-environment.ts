import type { z } from 'zod';
import type { Action, Message } from '../../../schemas/environment-protocol.js';
import type { ActionFormat } from '../../rollout/tool-calls.js';
import { checked } from '../check-definition.js';
import type { DefinedEnvironment, Judgement, OnStepFailure, Parameters, TaskSpec } from '../definition.js';

/** What an OpenEnv server answers to a reset or a step. */
export interface OpenEnvResult {
  /** Of the environment's own form, see GET /schema. */
  readonly observation: Readonly<Record<string, unknown>>;
  readonly reward: number | null;
  readonly done: boolean;
}

/** An environment behind an OpenEnv server: it has no tasks and speaks in JSON, which these functions translate. */
export interface OpenEnvSpec<T extends Parameters> extends TaskSpec<T> {
  /** Where the server listens, e.g. `http://127.0.0.1:8000`; an episode is a WebSocket session at `/ws`. */
  readonly url: string;
  /** Arguments of reset that make the task; left out: `{ seed }`. */
  reset?(task: z.output<T>, seed: number): Readonly<Record<string, unknown>>;
  /** The conversation before the first response. */
  prompt(task: z.output<T>, first: OpenEnvResult): string | readonly Message[];
  /**
   * The server's action for a response. Numbers of its calls that JavaScript would alter are `{ $number: "1.0" }`, and reach the
   * server as these numbers where they are passed on. Throw a ToolError if the response holds none: the model reads its text and the
   * server is not asked.
   */
  action(response: Action): Readonly<Record<string, unknown>>;
  /** What the model reads of a step. */
  observe(result: OpenEnvResult): string;
  /** The reward from the rewards of the steps (null where the server gave none) and the server's last state; left out: the last reward. */
  score?(episode: {
    readonly task: z.output<T>;
    readonly rewards: readonly (number | null)[];
    readonly state: Readonly<Record<string, unknown>>;
  }): Judgement;
  /** How the model writes calls, for `response.calls`; `call-lines` if left out. */
  readonly format?: ActionFormat;
  /** For one request, 30 s if left out. */
  readonly timeoutMs?: number;
  /** For a step that is not answered in time, or that ends the server, each time: `fault` if left out. */
  readonly onStepFailure?: OnStepFailure;
}

/** `defineOpenEnvEnvironment`'s spec, its types erased. */
export type OpenEnvDefinition = OpenEnvSpec<Parameters>;

/**
 * Tasks on a running OpenEnv server (openenv-core), a WebSocket session for each episode. A session that breaks is replaced by a new
 * one in which the recorded actions are played again, and compared.
 *
 * @throws {BadEnvironmentDefinition}
 */
export function defineOpenEnvEnvironment<T extends Parameters>(spec: OpenEnvSpec<T>): DefinedEnvironment<'openenv'> {
  return checked('openenv', spec) as never;
}
