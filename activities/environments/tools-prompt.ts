import { z } from 'zod';
import type { CallFormat } from '../rollout/tool-calls.js';

type Tools = Readonly<Record<string, { readonly description: string; readonly parameters: z.ZodObject }>>;

/** The part of the system message that names the tools and says how to call them. */
export const toolsPrompt = (tools: Tools, format: CallFormat): string => (format === 'hermes' ? hermesTools(tools) : signatures(tools));

/** One line per tool, short enough for a very small model: `add(a, b?): what it does`. */
function signatures(tools: Tools): string {
  const lines = Object.entries(tools).map(([name, { description, parameters }]) => {
    const names = Object.entries(parameters.shape).map(([key, schema]) => (z.safeParse(schema as z.ZodType, undefined).success ? `${key}?` : key));
    return `${name}(${names.join(', ')})${description === '' ? '' : `: ${description}`}`;
  });
  return ['Tools:', ...lines, 'Answer with CALL lines only.'].join('\n');
}

/** The Qwen/Hermes form that those models were trained on. */
function hermesTools(tools: Tools): string {
  const lines = Object.entries(tools).map(([name, { description, parameters }]) => {
    const { $schema: _, ...schema } = z.toJSONSchema(parameters, { io: 'input' });
    return JSON.stringify({ type: 'function', function: { name, description, parameters: schema } });
  });
  return [
    '# Tools', '', 'You may call one or more functions to assist with the user query.', '',
    'You are provided with function signatures within <tools></tools> XML tags:', '<tools>', ...lines, '</tools>', '',
    'For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:',
    '<tool_call>', '{"name": <function-name>, "arguments": <args-json-object>}', '</tool_call>',
  ].join('\n');
}
