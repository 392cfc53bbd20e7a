/**
 * Which tokens of a distribution may be drawn; a field left out cuts nothing. In the order of transformers and vLLM: the k
 * likeliest first, then shares of what these hold together.
 */
export interface Truncation {
  /** The k likeliest, and others exactly as likely as the last of them. */
  readonly topK?: number;
  /** The fewest likeliest tokens that hold at least this share of the probability, of what top-k left. */
  readonly topP?: number;
  /** Those at least this share as likely as the likeliest. */
  readonly minP?: number;
}

export const truncates = ({ topK, topP, minP }: Truncation): boolean =>
  topK !== undefined || (topP !== undefined && topP < 1) || (minP !== undefined && minP > 0);

/**
 * How many of a distribution's likeliest tokens may be drawn; at least 1.
 *
 * @param likeliest  probabilities in falling order, perhaps not to the end
 * @param all        all tokens are in `likeliest`
 * @returns          null if the answer lies beyond the end of `likeliest`
 */
export function keptTokens(
  likeliest: ArrayLike<number>,
  { topK, topP, minP }: Truncation,
  all: boolean,
): number | null {
  let most = Math.min(topK ?? Infinity, likeliest.length);
  while (most < likeliest.length && likeliest[most] === likeliest[most - 1]) most++;
  const wholeTopK = all || (topK !== undefined && topK < likeliest.length && most < likeliest.length);
  // What top-k leaves holds less than everything, so its share is of less; 1 where top-k cuts nothing.
  const held = topK === undefined ? 1 : sumOf(likeliest, most);
  const enough = topP === undefined ? Infinity : topP * held;
  const least = (minP ?? 0) * likeliest[0]!;
  let share = 0;
  for (let kept = 0; kept < most; kept++) {
    if (kept > 0 && (likeliest[kept]! < least || share >= enough))
      return topK !== undefined && topP !== undefined && !wholeTopK ? null : kept;
    share += likeliest[kept]!;
  }
  return wholeTopK || (topK === undefined && share >= enough) ? most : null;
}

function sumOf(values: ArrayLike<number>, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[i]!;
  return sum;
}

/**
 * A token of the truncated, renormalised distribution, by inverting its cumulative distribution.
 * @param u  uniform in [0, 1)
 * @returns  its place among the likeliest and its log-probability, nats
 */
export function drawTruncated(
  likeliest: ArrayLike<number>,
  kept: number,
  u: number,
): { place: number; logProb: number } {
  let total = 0;
  for (let i = 0; i < kept; i++) total += likeliest[i]!;
  let left = u * total;
  let place = 0;
  while (place < kept - 1 && left >= likeliest[place]!) left -= likeliest[place++]!;
  return { place, logProb: Math.log(likeliest[place]! / total) };
}
