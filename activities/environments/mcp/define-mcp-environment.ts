import type { z } from 'zod';
import { checked } from '../check-definition.js';
import {
  badDefinition,
  type DefinedEnvironment,
  type EpisodeView,
  type Parameters,
  type ToolUseSpec,
} from '../definition.js';
import { serverProblem } from './server-description.js';

/** A server that runs as a process, one for each episode. */
export interface StdioServer {
  readonly command: string;
  readonly args?: readonly string[];
  /** Besides PATH, HOME and the like: a server inherits none of the worker's credentials. */
  readonly env?: Readonly<Record<string, string>>;
  /** The folder that it runs in, relative to the module's, which it is if left out; e.g. the episode's `folder`. */
  readonly cwd?: string;
}

/** A server that listens already, by streamable HTTP; every episode has a session of its own. */
export interface HttpServer {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Calls a tool of the episode's server, as its author and not as the model; the text it answers. Throws if the tool refuses. */
export type CallTool = (tool: string, given?: Readonly<Record<string, unknown>>) => Promise<string>;

/** A tool as the prompt shows it. */
export interface ShownTool {
  readonly description: string;
  /** JSON Schema of its arguments, which prompts of `format: 'hermes'` show. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
}

/** Words for a tool in place of its server's: its description, or what else of it is shown in another form. */
export type Reworded = string | Partial<ShownTool>;

/** What a tool answered. */
export interface McpAnswer {
  readonly tool: string;
  /** Its text parts; other parts as `[image image/png]` and the like. */
  readonly text: string;
  /** The server calls it an error. */
  readonly isError: boolean;
}

export interface McpEpisodeView<Task, State> extends EpisodeView<Task, State> {
  readonly call: CallTool;
}

/** An environment whose tools are an MCP server's. */
export interface McpEnvironmentSpec<T extends Parameters, State>
  extends ToolUseSpec<T, McpEpisodeView<z.output<T>, State>> {
  /**
   * Where the tools come from. `folder` is an empty folder of the episode's own, gone with it: a server that
   * keeps files must keep them there: a command runs in the module's folder unless `cwd` says otherwise.
   */
  readonly server:
    | StdioServer
    | HttpServer
    | ((episode: { readonly folder: string; readonly task: z.output<T> }) => StdioServer | HttpServer);
  /** Tools that the model may use; left out: all of the server's. */
  readonly tools?: readonly string[];
  /**
   * Shorter words for the model, since servers write theirs for large ones: `{ search: 'finds files by name' }` by the
   * server's names, or a function of every tool that is offered.
   */
  readonly describe?: Readonly<Record<string, Reworded>> | ((tool: ShownTool & { readonly name: string }) => Reworded);
  /** Brings the server into the task's first state; what it returns is `state` for `next` and `verify`. */
  start?(episode: {
    readonly task: z.output<T>;
    readonly folder: string;
    readonly call: CallTool;
  }): State | Promise<State>;
  /** What the model reads of an answer: take out what differs from run to run (ids, times, paths). Throw to declare the server broken. */
  observe?(answer: McpAnswer, episode: { readonly folder: string }): string;
  /** For the server to come up and list its tools, 30 s if left out. */
  readonly startTimeoutMs?: number;
}

/** `defineMcpEnvironment`'s spec, its types erased. */
export type McpDefinition = McpEnvironmentSpec<Parameters, unknown>;

/**
 * Tasks on the tools of an MCP server: the server's tools are what the model can do, `verify` gives the reward.
 *
 * @throws {BadEnvironmentDefinition}
 */
export function defineMcpEnvironment<T extends Parameters, State = undefined>(
  spec: McpEnvironmentSpec<T, State>,
): DefinedEnvironment<'mcp'> {
  const definition = checked('mcp', spec);
  if (typeof spec.server === 'object') {
    const wrong = serverProblem(spec.server);
    if (wrong !== null) throw badDefinition(spec, wrong);
  }
  return definition;
}
