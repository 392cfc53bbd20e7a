/** A token that a tokenizer finds in text before anything else, as tokenizer.json lists it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** A control token such as `<|im_end|>`, in contrast to a word such as `<tool_call>`. */
  readonly special: boolean;
  /** Takes the blanks before or after it along. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
}

/** A noncharacter, which no text has a use for; one that is there is doubled. */
const MARK = '\uFDD0';

/**
 * Text whose spellings of tokens are broken by marks, so that `piecesOf` reads it as plain text: what an environment,
 * a tool or a person wrote must not become the tokens that a chat template ends turns with.
 */
export function quoted(text: string, tokens: readonly Pick<AddedToken, 'content'>[]): string {
  let result = text.replaceAll(MARK, MARK + MARK);
  for (const { content } of tokens) {
    const [first = ''] = content;
    // With a token of one character nothing can be put into it: it is not of the kind that templates use.
    if (content.length > first.length) result = result.replaceAll(content, first + MARK + content.slice(first.length));
  }
  return result;
}

/** Does the text hold marks, so that it must be read in pieces? */
export const isQuoted = (text: string): boolean => text.includes(MARK);

/** A text as the tokens that it spells out and the plain text between them, whose marks are gone. */
export function piecesOf(text: string, tokens: readonly AddedToken[]): (number | string)[] {
  const byContent = new Map(tokens.map((token) => [token.content, token.id]));
  // The longest first: `<|im_end|>` before a token that it begins with.
  const patterns = [...tokens]
    .sort((a, b) => b.content.length - a.content.length)
    .map(({ content, lstrip, rstrip }) => `${lstrip ? '\\s*' : ''}${escaped(content)}${rstrip ? '\\s*' : ''}`);
  const pieces: (number | string)[] = [];
  const plain = (piece: string): void => {
    if (piece !== '') pieces.push(piece.replaceAll(/\uFDD0(\uFDD0?)/g, '$1'));
  };
  let at = 0;
  for (const match of patterns.length === 0 ? [] : text.matchAll(new RegExp(patterns.join('|'), 'gu'))) {
    plain(text.slice(at, match.index));
    pieces.push(byContent.get(match[0]) ?? byContent.get(match[0].trim())!);
    at = match.index + match[0].length;
  }
  plain(text.slice(at));
  return pieces;
}

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
