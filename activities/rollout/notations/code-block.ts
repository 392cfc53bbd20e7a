import type { ToolCall } from '../../../schemas/environment-protocol.js';
import { nextThinking, thinkingEnd } from '../thinking.js';
import { MAX_CALL_LENGTH, type Notation, type WellFormedCall } from './notation.js';

/** A program in a fenced block, by CommonMark's rules for fences, at any indentation: it may stand in a list. */
export const codeBlock: Notation = { parse: parseCodeBlock, render: renderCodeBlock };

const CODE_TOOL = 'python';
const FENCE = '```';
const CODE_EXPECTED = `expected a block that begins with ${FENCE}python and ends with ${FENCE}`;
const LINE_BREAK = /\r\n|\r|\n/g;
/** Three or more backticks with no backtick behind, or tildes: indentation, fence, info string. */
const OPENING = /^([ \t]*)(`{3,}(?=[^`]*$)|~{3,})(.*)$/;

interface Block {
  /** Info string, e.g. `python title="a.py"`. */
  readonly info: string;
  readonly code: string;
}

/** The code of the first python block; one that is not closed counts, as the last thing that a response says. */
function parseCodeBlock(response: string): ToolCall[] {
  const { blocks, misplaced } = blocksOf(response);
  const code = blocks.find(({ info }) => isPython(info))?.code;
  if (code === undefined) {
    const language = JSON.stringify(blocks[0]?.info.slice(0, 40));
    const wrong = blocks[0] ? `the code block is of language ${language}` : misplaced;
    return wrong === null ? [] : [{ malformed: `${wrong}, ${CODE_EXPECTED}` }];
  }
  if (code.trim() === '') return [{ malformed: `the code block is empty, ${CODE_EXPECTED}` }];
  if (code.length > MAX_CALL_LENGTH)
    return [{ malformed: `the code block has ${code.length} characters, the limit is ${MAX_CALL_LENGTH}` }];
  return [{ name: CODE_TOOL, positional: [code], keyword: {} }];
}

/** `python`, `py`, `python3`, `python3.11`, whatever follows them. */
const isPython = (info: string): boolean => /^(python|py)(3(\.\d+)?)?$/i.test(info.split(/\s/)[0]!);

/** Fenced blocks outside of thinking, in which tags are code; and what is wrong with the first fence that opens none. */
function blocksOf(response: string): { readonly blocks: Block[]; readonly misplaced: string | null } {
  const blocks: Block[] = [];
  let misplaced: string | null = null;
  let line = lineAt(response, 0);
  for (let at = 0; at < response.length; ) {
    if (line.next <= at) line = lineAt(response, at);
    const text = response.slice(at, line.end);
    const opening = OPENING.exec(text);
    if (opening) {
      const [, indentation = '', fence = '', info = ''] = opening;
      const inside = codeAfter(response, line, fence, indentation.length);
      blocks.push({ info: info.trim(), code: inside.code });
      at = inside.end;
      continue;
    }
    const thinking = nextThinking(text, 0);
    const said = thinking < 0 ? text : text.slice(0, thinking);
    const fence = /(?:`{3,}|~{3,}\s*(?:python|py)).*/i.exec(said)?.[0].slice(0, 20);
    if (fence !== undefined) {
      const number = response.slice(0, at).split(LINE_BREAK).length;
      misplaced ??= `line ${number}: ${JSON.stringify(fence)} begins no code block, for it needs a line of its own`;
    }
    at = thinking < 0 ? line.next : thinkingEnd(response, at + thinking);
  }
  return { blocks, misplaced };
}

interface Inside {
  readonly code: string;
  /** Behind the closing fence. */
  readonly end: number;
}

interface Line {
  readonly text: string;
  readonly end: number;
  /** `\n`, `\r\n`, `\r`, or empty at the end of the text. */
  readonly ending: string;
  readonly next: number;
}

function lineAt(text: string, at: number): Line {
  LINE_BREAK.lastIndex = at;
  const found = LINE_BREAK.exec(text);
  const end = found?.index ?? text.length;
  const ending = found?.[0] ?? '';
  return { text: text.slice(at, end), end, ending, next: end + ending.length };
}

/**
 * Lines up to the closing fence, which is at least as long as the opening one and indented by three blanks more at most;
 * what the opening fence is indented by is taken off.
 */
function codeAfter(response: string, { ending, next }: Line, fence: string, indentation: number): Inside {
  const closing = new RegExp(`^[ \\t]{0,${indentation}} {0,3}${fence[0]}{${fence.length},}[ \\t]*$`);
  const indented = new RegExp(`^[ \\t]{0,${indentation}}`);
  let code = '';
  for (let at = next; at < response.length; ) {
    const line = lineAt(response, at);
    if (closing.test(line.text)) return { code: withoutLast(code, ending), end: line.next };
    code += line.text.replace(indented, '') + line.ending;
    at = line.next;
  }
  return { code: withoutLast(code, ending), end: response.length };
}

/** The line break before the closing fence is the fence's, of the kind that the opening one has: code may end in `\r`. */
const withoutLast = (code: string, ending: string): string =>
  ending !== '' && code.endsWith(ending) ? code.slice(0, -ending.length) : code;

function renderCodeBlock(calls: readonly WellFormedCall[]): string {
  const [call, ...more] = calls;
  const code = call?.positional[0];
  if (!call) return '';
  if (more.length > 0 || call.name !== CODE_TOOL || typeof code !== 'string') {
    const found = calls.map(({ name }) => name).join(', ');
    throw new TypeError(`a code block holds one call ${CODE_TOOL}(code), found ${found}`);
  }
  // Longer than any fence in the code, so that none of them closes the block.
  const fences = [...code.matchAll(/^[ \t]*(`{3,})/gm)].map(([, fence]) => `${fence}\``);
  const fence = fences.reduce((longest, one) => (one.length > longest.length ? one : longest), FENCE);
  return `${fence}python\n${code}\n${fence}`;
}
