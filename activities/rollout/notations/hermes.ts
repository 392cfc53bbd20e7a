import type { ToolCall } from '../../../schemas/environment-protocol.js';
import { jsonNumber, MAX_CALL_LENGTH, MAX_CALLS_PER_RESPONSE, MAX_DEPTH, type ArgumentValue, type Notation, type WellFormedCall } from './notation.js';

/** `<tool_call>{"name": "cd", "arguments": {"folder": "plans"}}</tool_call>`, the form of Hermes and Qwen. */
export const hermes: Notation = { parse: parseHermes, render: (calls) => calls.map(renderHermes).join('\n') };

const HERMES_EXPECTED = 'expected <tool_call>{"name": ..., "arguments": {...}}</tool_call>';

function parseHermes(response: string): ToolCall[] {
  const calls: ToolCall[] = [];
  const pieces = response.split('<tool_call>').slice(1);
  for (const [index, piece] of pieces.entries()) {
    if (calls.length === MAX_CALLS_PER_RESPONSE) {
      calls.push({ malformed: `more than ${MAX_CALLS_PER_RESPONSE} calls in one response` });
      break;
    }
    const where = `tool call ${index + 1}`;
    const end = piece.indexOf('</tool_call>');
    const read = end < 0 ? 'it is not closed' : hermesCall(piece.slice(0, end).trim());
    calls.push(typeof read === 'string' ? { malformed: `${where}: ${read}, ${HERMES_EXPECTED}` } : read);
  }
  return calls;
}

/** The call, or what is wrong with it. */
function hermesCall(text: string): WellFormedCall | string {
  if (text.length > MAX_CALL_LENGTH) return `${text.length} characters, the limit is ${MAX_CALL_LENGTH}`;
  let value: unknown;
  try {
    // Checked as it stands first: marking numbers must not turn what is no JSON into some.
    const asWritten: unknown = JSON.parse(text);
    const reserved = reservedKey(asWritten, 0);
    if (reserved !== null) return reserved;
    value = JSON.parse(withExactNumbers(text));
  } catch (error) {
    return error instanceof RangeError ? 'JSON is nested too deeply' : 'it is no valid JSON';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'it is no JSON object';
  const { name, arguments: given = {}, ...rest } = value as Record<string, unknown>;
  if (typeof name !== 'string' || name === '') return '"name" is missing or no text';
  if (typeof given !== 'object' || given === null || Array.isArray(given) || isNumberMark(given)) return '"arguments" is no JSON object';
  const extra = Object.keys(rest)[0];
  if (extra !== undefined) return `there is a field ${JSON.stringify(extra.slice(0, 40))}`;
  return { name, positional: [], keyword: given as WellFormedCall['keyword'] };
}

const isNumberMark = (value: object): boolean => '$number' in value;

/** What is wrong with the keys or the depth, or null. */
function reservedKey(value: unknown, depth: number): string | null {
  if (typeof value !== 'object' || value === null) return null;
  if (depth > MAX_DEPTH + 2) return `a value is nested more than ${MAX_DEPTH} deep`; // call, arguments
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__' || key === '$number') return `key ${key} is reserved`;
    const inner = reservedKey(item, depth + 1);
    if (inner !== null) return inner;
  }
  return null;
}

/** Numbers that JavaScript's JSON would alter, outside strings, as `{ "$number": text }`. */
const withExactNumbers = (json: string): string =>
  json.replaceAll(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) => (token.startsWith('"') ? token : JSON.stringify(jsonNumber(token))));

/** Arguments as the JSON that was written, numbers included. */
export const argumentsJson = (keyword: WellFormedCall['keyword']): string => jsonText(keyword);

function renderHermes({ name, positional, keyword }: WellFormedCall): string {
  if (positional.length > 0) throw new TypeError(`${name} has positional arguments, which <tool_call> JSON cannot hold: name them`);
  return `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${jsonText(keyword)}}\n</tool_call>`;
}

/** JSON with a blank after commas and colons, as these models write it. */
function jsonText(value: ArgumentValue): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(', ')}]`;
  if (typeof value['$number'] === 'string') return value['$number'];
  return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${jsonText(item)}`).join(', ')}}`;
}
