import type { z } from 'zod';
import { checked } from '../check-definition.js';
import { badDefinition, isAddress, type DefinedEnvironment, type EpisodeView, type Parameters, type ToolUseSpec } from '../definition.js';

/** A server that runs as a process, one for each episode. */
export interface StdioServer {
  readonly command: string;
  readonly args?: readonly string[];
  /** Besides PATH, HOME and the like: a server inherits none of the worker's credentials. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A server that listens already, by streamable HTTP; every episode has a session of its own. */
export interface HttpServer {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Calls a tool of the episode's server, as its author and not as the model; the text it answers. Throws if the tool refuses. */
export type CallTool = (tool: string, given?: Readonly<Record<string, unknown>>) => Promise<string>;

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
export interface McpEnvironmentSpec<T extends Parameters, State> extends ToolUseSpec<T, McpEpisodeView<z.output<T>, State>> {
  /**
   * Where the tools come from. `folder` is an empty folder of the episode's own, gone with it: a server that
   * keeps files must keep them there. A command runs in the module's folder.
   */
  readonly server: StdioServer | HttpServer | ((episode: { readonly folder: string; readonly task: z.output<T> }) => StdioServer | HttpServer);
  /** Tools that the model may use; left out: all of the server's. */
  readonly tools?: readonly string[];
  /** Brings the server into the task's first state; what it returns is `state` for `next` and `verify`. */
  start?(episode: { readonly task: z.output<T>; readonly folder: string; readonly call: CallTool }): State | Promise<State>;
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
export function defineMcpEnvironment<T extends Parameters, State = undefined>(spec: McpEnvironmentSpec<T, State>): DefinedEnvironment<'mcp'> {
  const definition = checked('mcp', spec);
  if (typeof spec.server === 'object') {
    const wrong = serverProblem(spec.server);
    if (wrong !== null) throw badDefinition(spec, wrong);
  }
  return definition as never;
}

/** What is wrong with a server's description, or null. */
export function serverProblem(server: StdioServer | HttpServer): string | null {
  if ('url' in server) return isAddress(server.url, /^https?$/) ? null : `server.url: is ${JSON.stringify(server.url)}, expected an address such as "http://127.0.0.1:3001/mcp"`;
  return typeof server.command === 'string' && server.command !== '' ? null : 'server: expected { command, args } or { url }';
}
