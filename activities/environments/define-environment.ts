import type { z } from 'zod';
import { badDefinition, defined, type DefinedEnvironment, type EpisodeView, type Parameters, type ToolUseSpec } from './definition.js';

interface Tool<P extends Parameters, Task, State> {
  readonly description: string;
  /** Positional arguments follow the order of its keys. */
  readonly parameters: P;
  /** What the model reads: a text as it is, anything else as JSON. Throw a ToolError to refuse. */
  run(input: z.output<P>, episode: EpisodeView<Task, State>): unknown;
}

/** An environment as its author writes it; types infer from `task`, `start` and each tool's `parameters`. */
export interface EnvironmentSpec<T extends Parameters, State, Tools extends Record<string, Parameters>> extends ToolUseSpec<T, EpisodeView<z.output<T>, State>> {
  /** The state that an episode starts in; left out: none. */
  start?(task: z.output<T>): State;
  readonly tools: { readonly [K in keyof Tools]: Tool<Tools[K], z.output<T>, State> };
}

/** `defineEnvironment`'s spec, its types erased: what the engine plays. */
export type EnvironmentDefinition = EnvironmentSpec<Parameters, unknown, Record<string, Parameters>>;

/**
 * An environment in one file: zod schemas for tasks and tools, a verifier for the reward. Export it as
 * default and name its file in `environment.name` or `--environment`.
 *
 * @throws {BadEnvironmentDefinition}
 */
export function defineEnvironment<T extends Parameters, Tools extends Record<string, Parameters>, State = undefined>(
  spec: EnvironmentSpec<T, State, Tools>,
): DefinedEnvironment<'functions'> {
  const tools = Object.keys(spec.tools);
  if (tools.length === 0) throw badDefinition(spec, 'tools: there is none, and a turn consists of tool calls');
  const badName = tools.find((name) => !/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name));
  if (badName !== undefined) throw badDefinition(spec, `tools: ${JSON.stringify(badName)} is no name, expected letters, digits and _`);
  return defined('functions', spec as unknown as EnvironmentDefinition);
}
