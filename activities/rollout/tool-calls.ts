import type { ToolCall } from '../../schemas/environment-protocol.js';
import { bfclFc } from './notations/bfcl-fc.js';
import { callLines } from './notations/call-lines.js';
import { codeBlock } from './notations/code-block.js';
import { hermes } from './notations/hermes.js';
import { jsonDigits, jsonNumber, type Notation, type WellFormedCall } from './notations/notation.js';
import { leadingThinking } from './thinking.js';

export { argumentNameInCallLine } from './notations/call-lines.js';
export { argumentsJson } from './notations/hermes.js';
export { jsonDigits, MAX_CALLS_PER_RESPONSE, type ArgumentValue, type WellFormedCall } from './notations/notation.js';

/**
 * How calls are written in a response: `call-lines` are lines such as `CALL cd('plans')`; `hermes` is the form
 * of Hermes and Qwen, `<tool_call>{"name": "cd", "arguments": {"folder": "plans"}}</tool_call>`, any number of them.
 */
export type CallFormat = 'call-lines' | 'hermes';

/**
 * How an environment reads a response: as calls of its tools, or as a program: `code-block` is the first ```python block,
 * which becomes the one call `python(code)`. `bfcl-fc` is `hermes` as the official reader of BFCL has it.
 */
export type ActionFormat = CallFormat | 'code-block' | 'bfcl-fc';

const NOTATIONS: Readonly<Record<ActionFormat, Notation>> = {
  'call-lines': callLines,
  hermes,
  'code-block': codeBlock,
  'bfcl-fc': bfclFc,
};

/** What is known of a response besides its text. */
export interface ResponseContext {
  /** The prompt ends inside `<think>` (`endsInThinking`), so that the response begins with thinking. */
  readonly thinkingBegun?: boolean;
}

/**
 * The calls that a response spells out, in order; a piece that looks like a call but is not one becomes
 * `{ malformed }`, whose text says to the model what to write. Never throws, never evaluates anything.
 *
 * Calls and thinking are parsed, not searched: a tag inside an argument or a program is text. A call inside
 * thinking does not count, and thinking that was cut has no calls.
 */
export function parseCalls(response: string, format: ActionFormat, context: ResponseContext = {}): ToolCall[] {
  return NOTATIONS[format].parse(response.slice(leadingThinking(response, context.thinkingBegun ?? false)));
}

/**
 * Text that `parseCalls` reads back as the same calls.
 *
 * @throws {TypeError} for calls that the notation cannot say, such as half a surrogate pair in a call line
 */
export function renderCalls(calls: readonly WellFormedCall[], format: ActionFormat): string {
  const text = NOTATIONS[format].render(calls);
  const read = parseCalls(text, format);
  if (same(read, calls)) return text;
  const wrong = read.find((call) => 'malformed' in call);
  const why = wrong ? `: ${wrong.malformed}` : '';
  throw new TypeError(`${format} cannot say ${JSON.stringify(calls).slice(0, 200)}${why}`);
}

/** Equal as what a tool receives: 1e21 is written `1e+21`, and reads back as `{ $number: '1e+21' }`. */
const same = (read: readonly ToolCall[], meant: readonly WellFormedCall[]): boolean => told(read) === told(meant);

function told(calls: readonly ToolCall[]): string {
  const meaning = calls.map((call) => ('malformed' in call ? null : [call.name, call.positional, call.keyword]));
  return JSON.stringify(meaning, asWritten);
}

function asWritten(_key: string, value: unknown): unknown {
  if (typeof value === 'number') return jsonNumber(String(value));
  const marked = typeof value === 'object' && value !== null ? (value as { $number?: unknown }).$number : undefined;
  return typeof marked === 'string' ? { $number: jsonDigits(marked) } : value;
}
