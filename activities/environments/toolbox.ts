import { z } from 'zod';
import { askLater, refusalIn, type Asked } from './author-calls.js';
import { FailedAtWork } from './environment.js';
import { Endless } from './interruptible.js';
import { tookLonger } from './two-tries.js';
import type { EnvironmentDefinition } from './define-environment.js';
import type { EpisodeView } from './definition.js';
import { plainNumbers } from './exact-numbers.js';

/** A tool as a prompt lists it and as arguments are matched to it. */
export interface ToolSignature {
  readonly name: string;
  readonly description: string;
  /** Positional arguments follow this order. */
  readonly parameters: readonly { readonly name: string; readonly optional: boolean }[];
  /** Arguments that are not listed are passed on as well. */
  readonly takesOthers: boolean;
  /** JSON Schema of the arguments. */
  schema(): object;
}

/** What the model reads of a call. */
export interface ToolResult {
  readonly result: string;
  /** False if the arguments do not fit the tool, or it refused. */
  readonly accepted: boolean;
}

/** The tools of one episode. */
export interface Toolbox {
  /** Changes only by `listAgain`. */
  readonly signatures: readonly ToolSignature[];
  /** Calls a listed tool with numbers marked as in ToolCall; an exception is a fault of the environment. */
  run(
    tool: string,
    given: Readonly<Record<string, unknown>>,
    episode: EpisodeView<unknown, unknown>,
    asked: Asked,
  ): Promise<ToolResult>;
  /** Where tools may come and go: looks again, before a call of one that is not listed is refused. */
  listAgain?(): Promise<void>;
  /** What else is known when a call fails, for a message: `; it said: ...`, or nothing. */
  said?(): string;
  /** Releases what the tools hold; never throws. */
  close(): Promise<void>;
}

/** The argument may be left out. A schema that throws at nothing, or waits for something, wants a value. */
function takesNothing(schema: z.ZodType): boolean {
  try {
    return z.safeParse(schema, undefined).success;
  } catch {
    return false;
  }
}

/** Tools that the author wrote as functions, with zod schemas for their arguments. */
export function functionTools(tools: EnvironmentDefinition['tools']): Toolbox {
  return {
    signatures: Object.entries(tools).map(([name, { description = '', parameters }]) => ({
      name,
      description,
      parameters: Object.entries(parameters.shape).map(([key, schema]) => ({
        name: key,
        optional: takesNothing(schema as z.ZodType),
      })),
      takesOthers: false,
      schema() {
        const { $schema: _, ...schema } = z.toJSONSchema(parameters, { io: 'input' });
        return schema;
      },
    })),
    async run(name, given, episode, asked) {
      const tool = tools[name]!;
      const parsed = await tool.parameters.safeParseAsync(plainNumbers(given));
      if (!parsed.success) {
        const said = parsed.error.issues.map(
          (issue) => `${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${issue.message}`,
        );
        return { result: `Error: ${name}: ${said.join('; ')}`, accepted: false };
      }
      try {
        const result = await askLater<unknown>(asked, () => tool.run(parsed.data, episode as never));
        return { result: typeof result === 'string' ? result : (JSON.stringify(result) ?? 'done'), accepted: true };
      } catch (error) {
        const refusal = refusalIn(error);
        if (refusal) return { result: `Error: ${refusal.message}`, accepted: false };
        // It may be what the model asked for that takes so long.
        const { cause } = error as Error;
        if (cause instanceof Endless) throw new FailedAtWork(cause.message, tookLonger(cause.timeoutMs), 0, { cause });
        throw error;
      }
    },
    close: async () => {},
  };
}
