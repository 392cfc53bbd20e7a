import type { ToolCall } from '../../../schemas/environment-protocol.js';
import { nextThinking, thinkingEnd } from '../thinking.js';
import { jsonValueAt, NOT_CLOSED, NotJson } from './json-value.js';
import {
  jsonDigits,
  MAX_CALL_LENGTH,
  MAX_CALLS_PER_RESPONSE,
  type ArgumentValue,
  type Notation,
  type WellFormedCall,
} from './notation.js';

/** `<tool_call>{"name": "cd", "arguments": {"folder": "plans"}}</tool_call>`, the form of Hermes and Qwen. */
export const hermes: Notation = { parse: parseHermes, render: (calls) => calls.map(renderHermes).join('\n') };

export const OPENING = '<tool_call>';
export const CLOSING = '</tool_call>';
export const TOO_MANY_CALLS = `more than ${MAX_CALLS_PER_RESPONSE} calls in one response`;
export const HERMES_EXPECTED = 'expected <tool_call>{"name": ..., "arguments": {...}}</tool_call>';

/** A call, or what is wrong with it, and where reading continues. */
interface Piece {
  readonly read: WellFormedCall | string;
  readonly end: number;
}

function parseHermes(response: string): ToolCall[] {
  const calls: ToolCall[] = [];
  for (let [at, opening] = [0, -1]; ; ) {
    if (opening < at) opening = response.indexOf(OPENING, at);
    if (opening < 0) return calls;
    const thinking = nextThinking(response, at);
    if (thinking >= 0 && thinking < opening) {
      at = thinkingEnd(response, thinking);
      continue;
    }
    if (calls.length === MAX_CALLS_PER_RESPONSE) return [...calls, { malformed: TOO_MANY_CALLS }];
    const { read, end } = pieceAt(response, opening + OPENING.length);
    const told = `tool call ${calls.length + 1}: ${typeof read === 'string' ? read : ''}, ${HERMES_EXPECTED}`;
    calls.push(typeof read === 'string' ? { malformed: told } : read);
    at = end;
  }
}

/** What stands in a pair of tags. @param start  after the opening tag */
export function pieceAt(response: string, start: number): Piece {
  const where = (at: number): string => `(character ${at - start + 1} after ${OPENING})`;
  try {
    const { value, end } = jsonValueAt(response, start, 2); // the call and its arguments
    const after = end + /^[ \t\r\n]*/.exec(response.slice(end))![0].length;
    const length = end - start;
    if (length > MAX_CALL_LENGTH) {
      return { read: `${length} characters, the limit is ${MAX_CALL_LENGTH}`, end: endOfBroken(response, after) };
    }
    if (response.startsWith(CLOSING, after)) return { read: hermesCall(value), end: after + CLOSING.length };
    if (after === response.length || response.startsWith(OPENING, after)) return { read: NOT_CLOSED, end: after };
    const next = JSON.stringify(firstWord(response, after));
    const problem = `${next} follows the JSON value, one object stands between the tags ${where(after)}`;
    return { read: problem, end: endOfBroken(response, after) };
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    const unclosed = response.includes(CLOSING, start) || error.problem === NOT_CLOSED ? '' : `${NOT_CLOSED}: `;
    return { read: `${unclosed}${error.problem} ${where(error.at)}`, end: endOfBroken(response, start) };
  }
}

const firstWord = (text: string, at: number): string => text.slice(at, at + 20).split(/\s/)[0]!;

/**
 * Where reading continues after something that is not a call: behind its closing tag, or at the next opening one. Tags in double
 * quotes are passed over, also where the string breaks JSON's rules: what a text only quotes must not be executed.
 */
function endOfBroken(response: string, start: number): number {
  const token = /"[^"\\]*(?:\\[^][^"\\]*)*"|<\/?tool_call>/g;
  token.lastIndex = start;
  for (let found = token.exec(response); found; found = token.exec(response)) {
    if (!found[0].startsWith('"')) return found[0] === CLOSING ? token.lastIndex : found.index;
  }
  const closing = response.indexOf(CLOSING, start);
  return closing < 0 ? response.length : closing + CLOSING.length;
}

/** The call that a JSON value is, or what is wrong with it. */
function hermesCall(value: ArgumentValue): WellFormedCall | string {
  if (Array.isArray(value)) return 'it is no JSON object but a list: one call stands between the tags';
  if (typeof value !== 'object' || value === null || isNumberMark(value)) return 'it is no JSON object';
  const { name, arguments: given = {}, ...rest } = value;
  if (typeof name !== 'string' || name === '') return '"name" is missing or no text';
  if (typeof given !== 'object' || given === null || Array.isArray(given) || isNumberMark(given))
    return '"arguments" is no JSON object';
  const extra = Object.keys(rest)[0];
  if (extra !== undefined) return `there is a field ${JSON.stringify(extra.slice(0, 40))}`;
  return { name, positional: [], keyword: given };
}

const isNumberMark = (value: object): boolean => '$number' in value;

/** Arguments as the JSON that was written, numbers included. */
export const argumentsJson = (keyword: WellFormedCall['keyword']): string => jsonText(keyword);

function renderHermes({ name, positional, keyword }: WellFormedCall): string {
  if (positional.length > 0)
    throw new TypeError(`${name} has positional arguments, which <tool_call> JSON cannot hold: name them`);
  return `${OPENING}\n{"name": ${JSON.stringify(name)}, "arguments": ${jsonText(keyword)}}\n${CLOSING}`;
}

/** JSON with a blank after commas and colons, as these models write it. */
function jsonText(value: ArgumentValue): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(', ')}]`;
  if (typeof value['$number'] === 'string') return jsonDigits(value['$number']);
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}: ${jsonText(item)}`)
    .join(', ')}}`;
}
