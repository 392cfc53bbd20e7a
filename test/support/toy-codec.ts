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
  return {
    encode: (text) => (text.match(pieces) ?? []).map((piece) => (TAGS.includes(piece) ? TAGS.indexOf(piece) : FIRST + piece.charCodeAt(0))),
    decode: (ids) => ids.map((id) => TAGS[id] ?? String.fromCharCode(id >= SECOND ? id - SECOND : id - FIRST)).join(''),
    endOfTurn: { id: TAGS.indexOf('<end>'), text: '<end>' },
    render: (messages, { generationPrompt }) =>
      messages.map(({ role, content }) => `<${role}>${content}<end>\n`).join('') + (generationPrompt ? '<assistant>' : ''),
    contextLength,
    vocabularySize: SECOND * 2,
    alternative: (character) => SECOND + character.charCodeAt(0),
  };
}
