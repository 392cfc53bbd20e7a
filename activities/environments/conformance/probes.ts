import type { Action } from '../../../schemas/environment-protocol.js';
import { shuffled } from '../../numerics/random.js';
import { renderCalls, type ActionFormat, type WellFormedCall } from '../../rollout/tool-calls.js';
import type { Inspection } from '../inspection.js';
import type { ToolSignature } from '../toolbox.js';
import { mentionedIn, probeArguments } from './probe-arguments.js';

/** Calls of one tool, each with other arguments, while there are few tools. */
const CALLS_PER_TOOL = 4;
const MANY_TOOLS = 12;
/** Episodes of probes per task, at most. */
const MAX_SCRIPTS = 8;
const MAX_MALFORMED = 8;

/**
 * Scripted responses that call every tool with arguments that its schema takes, a few calls in each response, as many
 * responses in a script as the task has turns.
 */
export async function probesOf(
  inspection: Inspection,
  task: { readonly id: string; readonly turns: number },
  prompt: string,
  format: ActionFormat,
): Promise<Action[][]> {
  const tools = await inspection.tools(task.id);
  const mentioned = mentionedIn(prompt);
  const perTool = tools.length > MANY_TOOLS ? CALLS_PER_TOOL / 2 : CALLS_PER_TOOL;
  const calls = tools.flatMap((tool) =>
    variantsOf(tool, perTool, (schema, variant) => probeArguments(schema, mentioned, variant)),
  );
  const responses = chunks(calls, inspection.maxCalls).map(
    (some): Action => ({ content: written(some, format), calls: some }),
  );
  return chunks(responses, task.turns).slice(0, MAX_SCRIPTS);
}

/** Calls of the tools that a prompt names, without arguments and with some: what is refused must be refused the same way. */
export const malformedProbes = (prompt: string, taskId: string): Action[] =>
  shuffled(toolsIn(prompt), taskId)
    .slice(0, MAX_MALFORMED)
    .map((name) => ({
      content: `call ${name}`,
      calls: [
        { name, positional: [], keyword: {} },
        { name, positional: ['x', 2], keyword: {} },
      ],
    }));

function variantsOf(
  tool: ToolSignature,
  count: number,
  draw: (schema: object, variant: number) => Record<string, unknown>,
): WellFormedCall[] {
  const variants = Array.from(
    { length: count },
    (_, variant) => draw(schemaOf(tool), variant) as WellFormedCall['keyword'],
  );
  const different = new Map(variants.map((keyword) => [JSON.stringify(keyword), keyword]));
  return [...different.values()].map((keyword) => ({ name: tool.name, positional: [], keyword }));
}

/** A schema that JSON Schema cannot express has parameters all the same. */
function schemaOf(tool: ToolSignature): object {
  try {
    return tool.schema();
  } catch {
    const required = tool.parameters.filter(({ optional }) => !optional).map(({ name }) => name);
    return { type: 'object', properties: Object.fromEntries(tool.parameters.map(({ name }) => [name, {}])), required };
  }
}

/** For the transcript only: the calls are given. */
function written(calls: readonly WellFormedCall[], format: ActionFormat): string {
  try {
    return renderCalls(calls, format);
  } catch {
    return `calls of ${calls.map(({ name }) => name).join(', ')}`;
  }
}

const chunks = <T>(items: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size));

/** Names that a prompt writes as signatures (`ls(a?)`) or as JSON (`"name": "ls"`). */
const toolsIn = (prompt: string): string[] => [
  ...new Set([...prompt.matchAll(/^(\w+)\(|"name": ?"(\w+)"/gm)].map(([, signature, json]) => (signature ?? json)!)),
];
