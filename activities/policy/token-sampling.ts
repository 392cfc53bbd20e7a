import { softmaxLastAxis, tf, type Tensor } from './backend.js';
import { logitsOf } from './head.js';
import type { FrozenWeights } from './transformer.js';
import { drawTruncated, keptTokens, type Truncation } from './truncation.js';

/** A token, and its log-probability in the distribution that it was drawn from. */
export interface SampledToken {
  readonly id: number;
  readonly logProb: number;
}

const BLOCK = 256;

/**
 * One token per row by inverting the cumulative distribution at a uniform number, in two stages so
 * that only V / 256 + 256 probabilities per row leave the device.
 */
export function sampleTokens(
  hidden: Tensor,
  weights: FrozenWeights,
  temperature: number,
  uniforms: readonly number[],
): SampledToken[] {
  const B = uniforms.length;
  const blocks = Math.ceil(weights.config.vocabulary / BLOCK);
  const probabilities = tf.tidy(() => {
    const p = softmaxLastAxis(
      logitsOf(hidden, null, weights, temperature),
    ) as import('@tensorflow/tfjs-node-gpu').Tensor2D;
    const surplus = blocks * BLOCK - weights.config.vocabulary;
    return (
      surplus === 0
        ? p
        : tf.pad(p, [
            [0, 0],
            [0, surplus],
          ])
    ).reshape([B, blocks, BLOCK]);
  });
  const sums = tf.tidy(() => tf.sum(probabilities, 2).dataSync()) as Float32Array;
  const chosen = uniforms.map((u, b) => invert(sums, b * blocks, blocks, u));
  const within = tf.tidy(() =>
    tf
      .gatherND(
        probabilities,
        tf.tensor2d(
          chosen.flatMap(({ index }, b) => [b, index]),
          [B, 2],
          'int32',
        ),
      )
      .dataSync(),
  ) as Float32Array;
  probabilities.dispose();
  return chosen.map(({ index: block, rest }, b) => {
    const { index } = invert(within, b * BLOCK, BLOCK, rest);
    return { id: block * BLOCK + index, logProb: Math.log(within[b * BLOCK + index]!) };
  });
}

/** Tokens of each row that are looked at before all are. */
const LIKELIEST = 256;

/** One token per row of the truncated distribution; log-probs are of that distribution. */
export function sampleTruncated(
  hidden: Tensor,
  weights: FrozenWeights,
  temperature: number,
  truncation: Truncation,
  uniforms: readonly number[],
): SampledToken[] {
  const { vocabulary } = weights.config;
  const probabilities = tf.tidy(() => softmaxLastAxis(logitsOf(hidden, null, weights, temperature)));
  const likeliestOf = (k: number): { values: Float32Array; indices: Int32Array; k: number } =>
    tf.tidy(() => {
      const { values, indices } = tf.topk(probabilities, k, true);
      return { values: values.dataSync(), indices: indices.dataSync(), k } as never;
    });
  try {
    const some = likeliestOf(Math.min(LIKELIEST, vocabulary));
    let all: typeof some | null = null;
    return uniforms.map((u, b) => {
      const row = ({ values, k }: typeof some) => values.subarray(b * k, (b + 1) * k);
      let from = some;
      let kept = keptTokens(row(some), truncation, some.k === vocabulary);
      if (kept === null) {
        from = all ??= likeliestOf(vocabulary);
        kept = keptTokens(row(from), truncation, true)!;
      }
      const { place, logProb } = drawTruncated(row(from), kept, u);
      return { id: from.indices[b * from.k + place]!, logProb };
    });
  } finally {
    probabilities.dispose();
  }
}

/** Index at which the running sum of weights passes share `u` of their total, and where in that weight it did, in [0, 1). */
function invert(weights: Float32Array, start: number, count: number, u: number): { index: number; rest: number } {
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[start + i]!;
  let left = u * total;
  let last = 0;
  for (let i = 0; i < count; i++) {
    const weight = weights[start + i]!;
    if (weight === 0) continue;
    if (left < weight) return { index: i, rest: left / weight };
    left -= weight;
    last = i;
  }
  // Rounding left a crumb after the last weight: it belongs to it.
  return { index: last, rest: 1 - Number.EPSILON };
}
