import type { Message } from '../../schemas/environment-protocol.js';
import type { TextCodec } from '../policy/policy.js';

type Part = readonly [from: number, to: number];

/** The verbatim parts of a content of which only a beginning is left. */
export const partsWithin = (parts: readonly Part[], length: number): [number, number][] =>
  parts.filter(([from]) => from < length).map(([from, to]) => [from, Math.min(to, length)]);

/** A message whose content is a beginning of what it was. */
export function cutTo(message: Message, content: string): Message {
  const { verbatim, ...rest } = message;
  return { ...rest, content, ...(verbatim ? { verbatim: partsWithin(verbatim, content.length) } : {}) };
}

/**
 * Content that does not spell out the template's own tokens. What a tool returned, as a message of role `tool` or as a
 * verbatim part of another, may not even spell `</tool_response>`.
 */
export function quotedContent(codec: Pick<TextCodec, 'quote'>, { role, content, verbatim = [] }: Message): string {
  if (role === 'tool') return codec.quote(content, 'added');
  let quoted = '';
  let at = 0;
  for (const [from, to] of verbatim) {
    quoted += codec.quote(content.slice(at, from), 'control') + codec.quote(content.slice(from, to), 'added');
    at = to;
  }
  return quoted + codec.quote(content.slice(at), 'control');
}
