import type { ToolCall } from '../../schemas/environment-protocol.js';
import { callLines } from './notations/call-lines.js';
import { codeBlock } from './notations/code-block.js';
import { hermes } from './notations/hermes.js';
import type { Notation, WellFormedCall } from './notations/notation.js';

export { argumentsJson } from './notations/hermes.js';
export { MAX_CALLS_PER_RESPONSE, type ArgumentValue, type WellFormedCall } from './notations/notation.js';

/**
 * How calls are written in a response: `call-lines` are lines such as `CALL cd('plans')`; `hermes` is the form
 * of Hermes and Qwen, `<tool_call>{"name": "cd", "arguments": {"folder": "plans"}}</tool_call>`, any number of them.
 */
export type CallFormat = 'call-lines' | 'hermes';

/**
 * How an environment reads a response: as calls of its tools, or as a program: `code-block` is the first ```python block,
 * which becomes the one call `python(code)`.
 */
export type ActionFormat = CallFormat | 'code-block';

const NOTATIONS: Readonly<Record<ActionFormat, Notation>> = { 'call-lines': callLines, hermes, 'code-block': codeBlock };

/**
 * The calls that a response spells out, in order; a piece that looks like a call but is none becomes
 * `{ malformed }`, whose text tells the model what to write. Never throws, never evaluates anything.
 */
export const parseCalls = (response: string, format: ActionFormat): ToolCall[] => NOTATIONS[format].parse(saidAloud(response));

/** A response without its `<think>...</think>`: a call that was only thought of is none. */
function saidAloud(response: string): string {
  const closed = response.lastIndexOf('</think>');
  if (closed >= 0) return response.slice(closed + '</think>'.length);
  return /^\s*<think>/.test(response) ? '' : response;
}

/** Text that `parseCalls` reads back as the same calls. */
export const renderCalls = (calls: readonly WellFormedCall[], format: ActionFormat): string => NOTATIONS[format].render(calls);
