import { isQuoted, piecesOf, quoted } from '../../activities/policy/quoted-text.js';
import type { TextCodec } from '../../activities/policy/policy.js';

const TAGS = ['<system>', '<user>', '<assistant>', '<tool>', '<end>'];

/**
 * One id per character, one per tag. Every character has a second id that decodes to the same text,
 * as real vocabularies have many ways to spell a string.
 */
export function toyCodec(contextLength = 4096): TextCodec & { alternative(character: string): number } {
  const FIRST = 10;
  const SECOND = 100_000;
  const pieces = new RegExp(`${TAGS.join('|')}|[^]`, 'g');
  const added = TAGS.map((content, id) => ({ id, content, special: true }));
  const character = (one: string): number => FIRST + one.charCodeAt(0);
  return {
    encode: (text) =>
      isQuoted(text)
        ? piecesOf(text, added).flatMap((piece) =>
            typeof piece === 'number' ? [piece] : piece.split('').map(character),
          )
        : (text.match(pieces) ?? []).map((piece) => (TAGS.includes(piece) ? TAGS.indexOf(piece) : character(piece))),
    quote: (text) => quoted(text, added),
    decode: (ids) => ids.map((id) => TAGS[id] ?? String.fromCharCode(id >= SECOND ? id - SECOND : id - FIRST)).join(''),
    endOfTurn: { id: TAGS.indexOf('<end>'), text: '<end>' },
    ends: new Map([[TAGS.indexOf('<end>'), '<end>']]),
    endRemark: null,
    render: (messages, { generationPrompt }) =>
      messages.map(({ role, content }) => `<${role}>${content}<end>\n`).join('') +
      (generationPrompt ? '<assistant>' : ''),
    contextLength,
    vocabularySize: SECOND * 2,
    alternative: (one) => SECOND + one.charCodeAt(0),
  };
}
