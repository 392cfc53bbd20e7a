import type { FusedLinear } from './decode-weights.js';
import type { ModelShape } from './model-config.js';
import { rmsScaleBy, rotateBy, type Ops, type Sizes } from './ops.js';

/**
 * One token of every live response through a decoder layer.
 *
 * B live requests in G groups of at most M that share the beginning of their prompts; S longest such beginning, P longest rest of a
 * prompt, t tokens decoded so far. Q query heads, K key-value heads, R = Q / K, D head dimension, H hidden, F feed-forward width.
 * Everything of attention has the key-value heads in front, so that the queries of a group lie side by side and take its keys in one product.
 */
export interface DecodeLayer<T> {
  readonly attentionNorm: T; // (H)
  readonly mlpNorm: T; // (H)
  readonly qkv: FusedLinear<T>; // ((Q + 2 K) D, H)
  readonly output: FusedLinear<T>; // (H, Q D)
  readonly gateUp: FusedLinear<T>; // (2 F, H)
  readonly down: FusedLinear<T>; // (H, F)
  /** Gains of the norms of queries and keys. */
  readonly qkNorm: T | null; // (Q + K, D)
}

export interface CachePart<T> {
  readonly keys: T;
  readonly values: T;
}
export interface LayerCache<T> {
  readonly shared: CachePart<T>; // (K, G, S, D)
  /** Null where all prompts end with what is shared. */
  readonly own: CachePart<T> | null; // (K, B, P, D)
  /** Of the response's tokens so far. */
  readonly tail: CachePart<T>; // (K, B, t, D)
}

/** What is the same for all layers. */
export interface DecodeFrame<T> {
  readonly cos: T; // (B, 1, D)
  readonly sin: T; // (B, 1, D)
  /** 0 where a request's prompt has a token, else very negative. */
  readonly mask: T; // (1, B, 1, S + P)
  /** Which request stands at each of the G M places; where a group is not full, some request. */
  readonly requestAt: T; // (G M) int32
  readonly placeOf: T; // (B) int32
  readonly queriesByGroup: Sizes<T>; // [K, G, M R, D]
  readonly scoresByPlace: Sizes<T>; // [K, G M, R, S]
  readonly scoresByGroup: Sizes<T>; // [K, G, M R, S]
  /** Of the pieces of the scores: [S, P, t + 1], or without P. */
  readonly widths: Sizes<T>;
}

/** Hidden states after the layer, (B, H), and the tail with the new token, t + 1 long. */
export function decodeLayer<T>(
  ops: Ops<T>,
  x: T,
  weights: DecodeLayer<T>,
  cache: LayerCache<T>,
  frame: DecodeFrame<T>,
  { heads: Q, keyValueHeads: K, headDimension: D, feedForward: F, normEpsilon }: ModelShape,
): { output: T; tail: CachePart<T> } {
  const R = Q / K;
  const scaled = (y: T, gain: T): T => ops.mul(ops.mul(y, rmsScaleBy(ops, y, normEpsilon)), gain);
  const [qk, v] = ops.split(linear(ops, scaled(x, weights.attentionNorm), weights.qkv), [(Q + K) * D, K * D], 1, 2) as [
    T,
    T,
  ];
  const heads = ops.reshape(qk, [-1, Q + K, D]);
  const turned = rotateBy(
    ops,
    weights.qkNorm === null ? heads : scaled(heads, weights.qkNorm),
    frame.cos,
    frame.sin,
    D,
    1,
  );
  const [q, k] = ops.split(turned, [Q, K], 1, 2) as [T, T];
  const queries = ops.transpose(ops.reshape(ops.mul(q, D ** -0.5), [-1, K, R, D]), [1, 0, 2, 3]); // (K, B, R, D)
  const newest = (y: T): T => ops.reshape(ops.transpose(ops.reshape(y, [-1, K, D]), [1, 0, 2]), [K, -1, 1, D]);
  const tail = {
    keys: ops.concat([cache.tail.keys, newest(k)], 2),
    values: ops.concat([cache.tail.values, newest(v)], 2),
  };

  // A group's queries together against the keys that it shares.
  const byGroup = (y: T, shape: Sizes<T>): T => ops.reshape(ops.gather(y, frame.requestAt, 1), shape);
  const byRequest = (y: T, shape: Sizes<T>): T => ops.gather(ops.reshape(y, shape), frame.placeOf, 1);
  const onShared = byRequest(
    ops.matMul(byGroup(queries, frame.queriesByGroup), cache.shared.keys, true),
    frame.scoresByPlace,
  ); // (K, B, R, S)
  const { own } = cache;
  const onPrompt = own === null ? onShared : ops.concat([onShared, ops.matMul(queries, own.keys, true)], 3);
  const scores = ops.concat([ops.add(onPrompt, frame.mask), ops.matMul(queries, tail.keys, true)], 3);
  const pieces = ops.split(ops.softmax(scores), frame.widths, 3, own === null ? 2 : 3);
  const ofShared = byRequest(ops.matMul(byGroup(pieces[0]!, frame.scoresByGroup), cache.shared.values, false), [
    K,
    -1,
    R,
    D,
  ]); // (K, B, R, D)
  const ofTail = ops.add(ofShared, ops.matMul(pieces.at(-1)!, tail.values, false));
  const ofAll = own === null ? ofTail : ops.add(ofTail, ops.matMul(pieces[1]!, own.values, false));
  const attended = ops.reshape(ops.transpose(ofAll, [1, 0, 2, 3]), [-1, Q * D]);

  const middle = ops.add(x, linear(ops, attended, weights.output));
  const [gate, up] = ops.split(linear(ops, scaled(middle, weights.mlpNorm), weights.gateUp), [F, F], 1, 2) as [T, T];
  const activated = ops.mul(ops.mul(gate, ops.sigmoid(gate)), up);
  return { output: ops.add(middle, linear(ops, activated, weights.down)), tail };
}

function linear<T>(ops: Ops<T>, x: T, { matrix, bias, low }: FusedLinear<T>): T {
  const product = ops.linear(x, matrix);
  const y = bias === null ? product : ops.add(product, bias);
  return low === null ? y : ops.add(y, ops.linear(ops.linear(x, low.A), low.B));
}
