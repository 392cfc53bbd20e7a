import { argumentNameInCallLine, type CallFormat } from '../rollout/tool-calls.js';
import { BadEnvironmentDefinition } from './definition.js';
import type { ToolSignature } from './toolbox.js';

/**
 * The part of the system message that names the tools and says how to call them.
 * @throws {BadEnvironmentDefinition} for an argument that no call can name
 */
export function toolsPrompt(tools: readonly ToolSignature[], format: CallFormat): string {
  for (const { name: tool, parameters } of tools) {
    const reserved = parameters.find(({ name }) => name === '__proto__' || name === '$number')?.name;
    if (reserved !== undefined) {
      throw new BadEnvironmentDefinition(
        `tools: ${tool} has an argument ${reserved}, a name that calls reserve: give it another name`,
      );
    }
  }
  return format === 'hermes' ? hermesTools(tools) : signatures(tools);
}

/**
 * One line per tool, short enough for a very small model: `add(a, b?): what it does`. A name that a call line has in quotes
 * is in quotes here.
 */
function signatures(tools: readonly ToolSignature[]): string {
  const lines = tools.map(({ name, description, parameters }) => {
    const names = parameters.map(
      (parameter) => `${argumentNameInCallLine(parameter.name)}${parameter.optional ? '?' : ''}`,
    );
    return `${name}(${names.join(', ')})${description === '' ? '' : `: ${description}`}`;
  });
  const written = tools.flatMap((tool) =>
    tool.parameters.map(({ name }) => `${tool.name}(${argumentNameInCallLine(name)}=...)`),
  );
  const quoted = written.find((call) => call.includes("('"));
  const rule = quoted === undefined ? '' : ` Names in quotes are written with them: CALL ${quoted}.`;
  return ['Tools:', ...lines, `Answer with CALL lines only.${rule}`].join('\n');
}

/** The Qwen/Hermes form that those models were trained on. */
function hermesTools(tools: readonly ToolSignature[]): string {
  const lines = tools.map((tool) =>
    JSON.stringify({
      type: 'function',
      function: { name: tool.name, description: tool.description, parameters: tool.schema() },
    }),
  );
  return [
    '# Tools',
    '',
    'You may call one or more functions to assist with the user query.',
    '',
    'You are provided with function signatures within <tools></tools> XML tags:',
    '<tools>',
    ...lines,
    '</tools>',
    '',
    'For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:',
    '<tool_call>',
    '{"name": <function-name>, "arguments": <args-json-object>}',
    '</tool_call>',
  ].join('\n');
}
