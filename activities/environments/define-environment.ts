import type { z } from 'zod';
import { checked } from './check-definition.js';
import type { DefinedEnvironment, EpisodeView, Parameters, ToolUseSpec } from './definition.js';

interface Tool<P extends Parameters, Task, State> {
  /** What the prompt says of it; left out: its name and arguments only. */
  readonly description?: string;
  /** Positional arguments follow the order of its keys. */
  readonly parameters: P;
  /** What the model reads: a text as it is, anything else as JSON. Throw a ToolError to refuse. */
  run(input: z.output<P>, episode: EpisodeView<Task, State>): unknown;
}

/** An environment as its author writes it; types infer from `task`, `start` and each tool's `parameters`. */
export interface EnvironmentSpec<T extends Parameters, State, Tools extends Record<string, Parameters>>
  extends ToolUseSpec<T, EpisodeView<z.output<T>, State>> {
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
  return checked('functions', spec) as never;
}
