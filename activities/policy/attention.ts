import { batchMatMul, softmaxLastAxis, tf, type Tensor } from './backend.js';
import type { ModelShape } from './model-config.js';
import type { PackedTries } from './packed-tries.js';

/**
 * Attention over the segments of packed tries, forward and back. What can be done for all nodes at once is: a segment is a few
 * dozen nodes, and each operation costs tens of microseconds before it has computed anything.
 *
 * Shapes as in transformer.ts: N nodes, n of a segment, w that it attends to, M nodes whose keys are known (N and those of a past),
 * D = head dimension, Q query heads, K key-value heads, R = Q / K. Query heads that share a key head stand together, so that keys
 * are never repeated.
 */

/** Rotated keys, and values, of one layer. (M, K, D) each */
export interface KeysAndValues {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** What the backward pass needs of the forward pass, besides its output. */
export interface SavedAttention {
  readonly keys: Tensor; // (K, M, D)
  readonly values: Tensor; // (K, M, D)
  readonly segments: readonly { readonly q: Tensor; readonly probabilities: Tensor }[]; // (K, R n, D), (K, R n, w)
}

const byHead = (x: Tensor): Tensor => tf.transpose(x, [1, 0, 2]);

/** (N, Q, d) or (N, Q d) as (K, R n, d) for each segment. */
function bySegment(x: Tensor, { segments }: PackedTries, { heads, keyValueHeads: K }: ModelShape): Tensor[] {
  const R = heads / K;
  const whole = tf.transpose(x.reshape([x.shape[0], K, R, x.size / (x.shape[0] * heads)]), [1, 2, 0, 3]);
  const parts =
    segments.length === 1
      ? [whole]
      : (tf.split(
          whole,
          segments.map(({ size }) => size),
          2,
        ) as Tensor[]);
  return parts.map((part, i) => part.reshape([K, R * segments[i]!.size, whole.shape[3]!]));
}

/** The inverse: (K, R n, D) of each segment as (N, Q D). */
function together(
  parts: readonly Tensor[],
  { segments }: PackedTries,
  { heads, keyValueHeads: K, headDimension: D }: ModelShape,
): Tensor {
  const R = heads / K;
  const whole = tf.concat(
    parts.map((part, i) => part.reshape([K, R, segments[i]!.size, D])),
    2,
  ) as Tensor;
  return tf.transpose(whole, [2, 0, 1, 3]).reshape([whole.shape[2]!, heads * D]);
}

/**
 * softmax(q k^T + mask) v.
 *
 * @param q  (N, Q, D), rotated, with the 1 / sqrt(D) in it
 * @returns  attended (N, Q D), and what attentionBackward takes
 */
export function attentionForward(
  q: Tensor,
  { k, v }: KeysAndValues,
  batch: PackedTries,
  config: ModelShape,
): { attended: Tensor; saved: SavedAttention } {
  const { heads, keyValueHeads: K } = config;
  const [keys, values] = [byHead(k), byHead(v)];
  const outputs: Tensor[] = [];
  const segments = bySegment(q, batch, config).map((own, i) => {
    const { size: n, keys: nodes, width, mask } = batch.segments[i]!;
    const scores = batchMatMul(own, tf.gather(keys, nodes, 1), false, true);
    const masked = tf.add(scores.reshape([heads, n, width]), mask);
    const probabilities = softmaxLastAxis(masked).reshape([K, (heads / K) * n, width]);
    outputs.push(batchMatMul(probabilities, tf.gather(values, nodes, 1), false, false));
    return { q: own, probabilities };
  });
  return { attended: together(outputs, batch, config), saved: { keys, values, segments } };
}

/**
 * @param d         gradient of what was attended, (N, Q D)
 * @param attended  (N, Q D)
 * @returns         gradients of q (N, Q, D), k and v (N, K, D); of a forward pass without a past
 */
export function attentionBackward(
  d: Tensor,
  attended: Tensor,
  saved: SavedAttention,
  batch: PackedTries,
  config: ModelShape,
): { q: Tensor; k: Tensor; v: Tensor } {
  const { heads, headDimension: D } = config;
  const N = d.shape[0];
  // softmax: dS = P (dP - sum(dP P)), and sum(dP P) = sum(dO O)
  const inner = bySegment(tf.sum(tf.mul(d, attended).reshape([N, heads, D]), -1), batch, config);
  const parts = bySegment(d, batch, config).map((dOut, i) => {
    const { q, probabilities } = saved.segments[i]!;
    const nodes = batch.segments[i]!.keys as never;
    const dP = batchMatMul(dOut, tf.gather(saved.values, nodes, 1), false, true);
    const dScores = tf.mul(probabilities, tf.sub(dP, inner[i]!)) as Tensor;
    return {
      q: batchMatMul(dScores, tf.gather(saved.keys, nodes, 1), false, false),
      k: batchMatMul(dScores, q, true, false),
      v: batchMatMul(probabilities, dOut, true, false),
    };
  });
  /** A node's key and value serve many segments; their gradients add up. */
  const summed = (which: 'k' | 'v'): Tensor =>
    tf.unsortedSegmentSum(
      byHead(
        tf.concat(
          parts.map((part) => part[which]),
          1,
        ),
      ),
      batch.allKeys as never,
      N,
    );
  return {
    q: together(
      parts.map((part) => part.q),
      batch,
      config,
    ).reshape([N, heads, D]),
    k: summed('k'),
    v: summed('v'),
  };
}

/** All that is saved, for disposal. */
export const attentionTensors = ({ keys, values, segments }: SavedAttention): Tensor[] => [
  keys,
  values,
  ...segments.flatMap(({ q, probabilities }) => [q, probabilities]),
];
