import type { ToolCall } from '../../../schemas/environment-protocol.js';
import { nextThinking, thinkingEnd } from '../thinking.js';
import { CLOSING, hermes, HERMES_EXPECTED, OPENING, pieceAt, TOO_MANY_CALLS } from './hermes.js';
import { jsonValueAt, NotJson } from './json-value.js';
import {
  MAX_CALL_LENGTH,
  MAX_CALLS_PER_RESPONSE,
  type ArgumentValue,
  type Notation,
  type WellFormedCall,
} from './notation.js';

/**
 * `<tool_call>` JSON as bfcl_eval's QwenFCHandler reads it (`_extract_tool_calls`, `decode_execute`): the tags need a
 * line each, fields besides name and arguments are passed over, arguments may be JSON in a text, and one call that cannot
 * be decoded undoes all of the response. What is executed is what is executed there, with these departures, which
 * test/activities/rollout/bfcl-reader.test.ts pins:
 *
 * - a piece that is ignored there, or that ends the turn, is told to the model;
 * - thinking is parsed, where the handler cuts all before the last `</think>`: a tag in an argument is text, calls
 *   before later thinking count, and thinking that is not closed has none;
 * - NaN, Infinity, more than MAX_CALLS_PER_RESPONSE calls, MAX_DEPTH levels or MAX_CALL_LENGTH characters, the keys
 *   `__proto__` and `$number`, and names that are no text are refused.
 */
export const bfclFc: Notation = { parse: parseBfclFc, render: hermes.render };

/** The match of `<tool_call>\n(.*?)\n</tool_call>` at an opening tag: what is between, and where reading continues. */
function taggedAt(response: string, opening: number): { readonly json: string; readonly end: number } | null {
  const start = opening + OPENING.length + 1;
  const closing = response[start - 1] === '\n' ? response.indexOf(`\n${CLOSING}`, start) : -1;
  return closing < 0 ? null : { json: response.slice(start, closing), end: closing + 1 + CLOSING.length };
}

/** Why the official reader would give up on the whole response. */
class Undecodable extends Error {}

function parseBfclFc(response: string): ToolCall[] {
  const read: (WellFormedCall | string)[] = [];
  let undecodable = false;
  for (let [at, opening] = [0, -1]; read.length <= MAX_CALLS_PER_RESPONSE; ) {
    if (opening < at) opening = response.indexOf(OPENING, at);
    if (opening < 0) break;
    const thinking = nextThinking(response, at);
    if (thinking >= 0 && thinking < opening) {
      at = thinkingEnd(response, thinking);
      continue;
    }
    const tagged = taggedAt(response, opening);
    if (tagged === null) {
      const piece = pieceAt(response, opening + OPENING.length);
      read.push(typeof piece.read === 'string' ? piece.read : `${OPENING} and ${CLOSING} need a line each`);
      // What only this reading would take along is a call of its own for the official reader.
      const next = response.indexOf(`${OPENING}\n`, opening + 1);
      at = next >= 0 && taggedAt(response, next) !== null ? Math.min(piece.end, next) : piece.end;
      continue;
    }
    at = tagged.end;
    try {
      read.push(officialCall(tagged.json));
    } catch (error) {
      if (!(error instanceof Undecodable)) throw error;
      undecodable = true;
      read.push(error.message);
    }
  }
  return read.map((call, index) => {
    if (index === MAX_CALLS_PER_RESPONSE) return { malformed: TOO_MANY_CALLS };
    if (typeof call !== 'string' && !undecodable) return call;
    const problem = typeof call === 'string' ? call : 'not executed, for another call of the response is none';
    return { malformed: `tool call ${index + 1}: ${problem}, ${HERMES_EXPECTED}` };
  });
}

/**
 * The call between the tags, or what is wrong where the official reader passes it over.
 * @throws {Undecodable} where that reader raises
 */
function officialCall(json: string): WellFormedCall | string {
  if (json.length > MAX_CALL_LENGTH) return `${json.length} characters, the limit is ${MAX_CALL_LENGTH}`;
  const value = wholeJson(json, 2);
  if (typeof value === 'string') return value;
  const call = value.json;
  if (!isObject(call)) throw new Undecodable('it is no JSON object');
  if (!('name' in call)) throw new Undecodable('"name" is missing');
  if (!('arguments' in call)) throw new Undecodable('"arguments" is missing');
  const given = argumentsOf(call['arguments']);
  const { name } = call;
  if (isContainer(name)) throw new Undecodable('"name" is no text');
  return typeof name === 'string' && name !== '' ? { name, positional: [], keyword: given } : '"name" is no text';
}

/** Arguments as they are, or as JSON in a text, which `convert_to_function_call` reads too. */
function argumentsOf(given: ArgumentValue): WellFormedCall['keyword'] {
  const value = typeof given === 'string' ? wholeJson(given, 1) : { json: given };
  if (typeof value === 'string') throw new Undecodable(`"arguments" is a text and no JSON: ${value}`);
  if (!isObject(value.json)) throw new Undecodable('"arguments" is no JSON object');
  return value.json;
}

/** The value of a text that is JSON, or what is wrong with it. */
function wholeJson(text: string, levels: number): { readonly json: ArgumentValue } | string {
  try {
    const { value, end } = jsonValueAt(text, 0, levels);
    if (/^[ \t\r\n]*$/.test(text.slice(end))) return { json: value };
    return `text follows the JSON value (character ${end + 1})`;
  } catch (error) {
    if (error instanceof NotJson) return `${error.problem} (character ${error.at + 1})`;
    throw error;
  }
}

const isContainer = (value: ArgumentValue | undefined): boolean =>
  typeof value === 'object' && value !== null && !('$number' in value);

const isObject = (value: ArgumentValue): value is WellFormedCall['keyword'] =>
  isContainer(value) && !Array.isArray(value);
