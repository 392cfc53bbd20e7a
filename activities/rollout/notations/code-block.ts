import type { ToolCall } from '../../../schemas/environment-protocol.js';
import { MAX_CALL_LENGTH, type Notation, type WellFormedCall } from './notation.js';

/** A program in a fenced block. */
export const codeBlock: Notation = { parse: parseCodeBlock, render: renderCodeBlock };

const CODE_TOOL = 'python';
const FENCE = '```';
const CODE_EXPECTED = `expected a block that begins with ${FENCE}python and ends with ${FENCE}`;

/** The code of the first python block; one that is not closed counts, as the last thing that a response says. */
function parseCodeBlock(response: string): ToolCall[] {
  const blocks = [...response.matchAll(/^[ \t]*```([^\n`]*)(?:\r?\n|$)([^]*?)(?:^[ \t]*```[ \t]*\r?$|$(?![^]))/gm)];
  const first = blocks.find(([, language]) => /^(python|py)\s*$/i.test(language!.trim()));
  if (!first) return blocks.length === 0 ? [] : [{ malformed: `the code block is of language ${JSON.stringify(blocks[0]![1]!.trim().slice(0, 40))}, ${CODE_EXPECTED}` }];
  const code = first[2]!.replace(/\r?\n$/, '');
  if (code.trim() === '') return [{ malformed: `the code block is empty, ${CODE_EXPECTED}` }];
  if (code.length > MAX_CALL_LENGTH) return [{ malformed: `the code block has ${code.length} characters, the limit is ${MAX_CALL_LENGTH}` }];
  return [{ name: CODE_TOOL, positional: [code], keyword: {} }];
}

function renderCodeBlock(calls: readonly WellFormedCall[]): string {
  const [call, ...more] = calls;
  const code = call?.positional[0];
  if (!call) return '';
  if (more.length > 0 || call.name !== CODE_TOOL || typeof code !== 'string') throw new TypeError(`a code block holds one call ${CODE_TOOL}(code), found ${calls.map(({ name }) => name).join(', ')}`);
  return `${FENCE}python\n${code}\n${FENCE}`;
}
