import type { SampledResponse, TextCodec } from '../policy/policy.js';

type Ends = Pick<TextCodec, 'ends'>;

/** Text of the token that ended a response; null if it was cut. */
export function endedBy({ ends }: Ends, { ids, end }: Pick<SampledResponse, 'ids' | 'end'>): string | null {
  const id = ids.at(-1)!;
  const text = ends.get(id);
  if (end === 'token-limit' || text === undefined) return null;
  // Padding of the vocabulary has no text.
  return text || `token ${id}`;
}

/** A response without the token that ended it. */
export const withoutEnd = ({ ends }: Ends, ids: readonly number[]): readonly number[] =>
  ends.has(ids.at(-1)!) ? ids.slice(0, -1) : ids;
