import { isBf16, product, softmaxLastAxis, tf, toBf16, type Tensor } from './backend.js';
import { eager, rmsScaleBy, rotateBy } from './ops.js';
import { moduleNames, type ModelConfig, type ModuleName } from './model-config.js';
import { rotaryFrequencies } from './rope.js';
import { causalMask, segmentsOf, type GrowingTrie, type Segment, type TokenTrie } from './trie.js';
import type { NormName } from './weights/weight-reader.js';

/**
 * Forward and backward pass of a Llama-family decoder over packed token tries, written out by hand:
 * the tape of tf.js would keep every intermediate of every operation alive.
 *
 * Shapes: N nodes of all tries of a micro-batch, n nodes of a segment, w nodes that it attends to, H = hidden, D = head dimension,
 * Q query heads, K key-value heads, R = Q / K, F = feed-forward width, r = LoRA rank.
 */
export interface LayerWeights {
  readonly attentionNorm: Tensor; // (H)
  readonly mlpNorm: Tensor; // (H)
  /** In a bf16 process frozen ones are bfloat16. */
  readonly modules: Readonly<Record<ModuleName, Tensor>>; // (out, in)
  /** Of the modules in config.biases. */
  readonly biases: Readonly<Partial<Record<ModuleName, Tensor>>>; // (out)
  /** With config.queryKeyNorm. */
  readonly queryNorm: Tensor | null; // (D)
  readonly keyNorm: Tensor | null; // (D)
}
export interface FrozenWeights {
  readonly config: ModelConfig;
  readonly embedding: Tensor; // (V, H)
  /** With tied embeddings the very same tensor. */
  readonly head: Tensor; // (V, H)
  readonly finalNorm: Tensor; // (H)
  readonly layers: readonly LayerWeights[];
}
/** A is (r, in), B is (out, r). */
export interface AdapterPair<T> {
  readonly A: T;
  readonly B: T;
}
export type LayerAdapter<T = Tensor> = Readonly<Record<ModuleName, AdapterPair<T>>>;
export interface Adapter {
  /** alpha / rank */
  readonly scale: number;
  readonly layers: readonly LayerAdapter[];
}

/** Tries of a micro-batch on the device, one after another. */
export interface PackedTries {
  readonly tokens: Tensor; // (N) int32
  readonly cos: Tensor; // (N, 1, D)
  readonly sin: Tensor; // (N, 1, D)
  /** First node of each trie. */
  readonly starts: readonly number[];
  readonly segments: readonly { readonly start: number; readonly size: number; readonly keys: Tensor; readonly width: number; readonly mask: Tensor }[];
  /** The keys of all segments in a row: where gradients of keys and values are summed to. */
  readonly allKeys: Tensor; // int32
}

/** Rotary tables for positions: cos and sin of position x frequency (plain: base^(-2i/D)), the D/2 angles repeated for both halves. (N, 1, D) each */
export function rotaryTables(config: ModelConfig, positions: readonly number[] | Int32Array): { cos: Tensor; sin: Tensor } {
  const D = config.headDimension;
  const cos = new Float32Array(positions.length * D);
  const sin = new Float32Array(positions.length * D);
  const { frequencies, magnitude } = rotaryFrequencies(config);
  frequencies.forEach((frequency, i) => {
    for (let n = 0; n < positions.length; n++) {
      const angle = positions[n]! * frequency;
      cos[n * D + i] = cos[n * D + D / 2 + i] = magnitude * Math.cos(angle);
      sin[n * D + i] = sin[n * D + D / 2 + i] = magnitude * Math.sin(angle);
    }
  });
  const shape: [number, number, number] = [positions.length, 1, D];
  return { cos: tf.tensor3d(cos, shape), sin: tf.tensor3d(sin, shape) };
}

/** The nodes of a growing trie from `first` to before `last`, whose segments' keys are any nodes of it. For a forward pass alone. */
export function packNodes(config: ModelConfig, trie: GrowingTrie, first: number, last: number): PackedTries {
  const segments = segmentsOf(trie, first, last).map((segment) => ({ ...packSegment(segment, 0), start: segment.start - first }));
  return {
    tokens: tf.tensor1d(trie.tokens.slice(first, last), 'int32'),
    ...rotaryTables(config, trie.positions.slice(first, last)),
    starts: [0],
    segments,
    allKeys: tf.tensor1d([], 'int32'),
  };
}

/** A segment on the device, whose trie begins at node `offset` of the packed ones. */
function packSegment(segment: Segment, offset: number): PackedTries['segments'][number] {
  const { size } = segment;
  const keys = segment.keys.map((node) => offset + node);
  return { start: offset + segment.start, size, keys: tf.tensor1d(keys, 'int32'), width: keys.length, mask: tf.tensor2d(causalMask(segment), [size, keys.length]) };
}

export function packTries(config: ModelConfig, tries: readonly TokenTrie[]): PackedTries {
  const starts: number[] = [];
  let total = 0;
  for (const trie of tries) {
    starts.push(total);
    total += trie.tokens.length;
  }
  const tokens = new Int32Array(total);
  const positions = new Int32Array(total);
  const allKeys: number[] = [];
  const segments = tries.flatMap((trie, t) => {
    tokens.set(trie.tokens, starts[t]!);
    positions.set(trie.positions, starts[t]!);
    return segmentsOf(trie).map((segment) => {
      segment.keys.forEach((node) => allKeys.push(starts[t]! + node));
      return packSegment(segment, starts[t]!);
    });
  });
  return { tokens: tf.tensor1d(tokens, 'int32'), ...rotaryTables(config, positions), starts, segments, allKeys: tf.tensor1d(allKeys, 'int32') };
}

export function disposePackedTries({ tokens, cos, sin, segments, allKeys }: PackedTries): void {
  tf.dispose([tokens, cos, sin, allKeys, ...segments.flatMap(({ keys, mask }) => [keys, mask])]);
}

/** What the backward pass of a layer needs of its forward pass. */
interface SavedLayer {
  input: Tensor; // (N, H)
  inputScale: Tensor; // (N, 1) 1 / rms
  normed: Tensor; // (N, H)
  /** Of the norms of queries and keys: their input and 1 / rms. */
  queryNorm: { x: Tensor; scale: Tensor } | null; // (N, Q, D), (N, Q, 1)
  keyNorm: { x: Tensor; scale: Tensor } | null; // (N, K, D), (N, K, 1)
  k: Tensor; // (N, K, D) rotated
  v: Tensor; // (N, K, D)
  segments: { q: Tensor; probabilities: Tensor; output: Tensor }[]; // (K, R n, D), (K, R n, w), (K, R n, D)
  attended: Tensor; // (N, Q D)
  middle: Tensor; // (N, H)
  middleScale: Tensor; // (N, 1)
  middleNormed: Tensor; // (N, H)
  gateSigmoid: Tensor; // (N, F)
  silu: Tensor; // (N, F) gate sigmoid(gate)
  up: Tensor; // (N, F)
  activated: Tensor; // (N, F)
  /** x A^T of each module, (N, r) */
  low: Partial<Record<ModuleName, Tensor>>;
}
/** Rotated keys, and values, of one layer. (nodes, K, D) each */
export interface KeysAndValues {
  readonly k: Tensor;
  readonly v: Tensor;
}
export interface LayerOutput {
  output: Tensor; // (N, H)
  saved: SavedLayer | null;
  /** Those of the past and then of these nodes; null unless a past was given. */
  cache: KeysAndValues | null;
}

export const rmsScale = (x: Tensor, epsilon: number): Tensor => rmsScaleBy(eager, x, epsilon);
const rotate = (x: Tensor, { cos, sin }: PackedTries, sign: 1 | -1): Tensor => rotateBy(eager, x, cos, sin, x.shape[2]!, sign);

/** RMSNorm of every head of queries or keys, (N, heads, D); without a gain nothing happens. */
function headNorm(x: Tensor, gain: Tensor | null, epsilon: number): { normed: Tensor; saved: { x: Tensor; scale: Tensor } | null } {
  if (gain === null) return { normed: x, saved: null };
  const scale = rmsScale(x, epsilon);
  return { normed: tf.mul(tf.mul(x, scale), gain), saved: { x, scale } };
}

/** Keys or values of some nodes, by head: (N, K, D) -> (K, w, D). */
const gathered = (x: Tensor, keys: Tensor): Tensor => tf.transpose(tf.gather(x, keys), [1, 0, 2]);

/**
 * One decoder layer. Runs inside a tidy; what it returns survives.
 * @param want.past  keys and values of the nodes before these, to which segments' keys count too; null if there are none yet
 */
export function layerForward(
  input: Tensor,
  weights: LayerWeights,
  adapter: { readonly scale: number; readonly layer: LayerAdapter } | null,
  batch: PackedTries,
  config: ModelConfig,
  want: { readonly save: boolean; readonly past?: KeysAndValues | null },
): LayerOutput {
  return tf.tidy(() => {
    const { heads: Q, keyValueHeads: K, headDimension: D, normEpsilon } = config;
    const R = Q / K;
    const N = input.shape[0]!;
    const low: Partial<Record<ModuleName, Tensor>> = {};
    const linear = (x: Tensor, module: ModuleName): Tensor => {
      const unbiased = product(x, weights.modules[module], false, true);
      const bias = weights.biases[module];
      const y = bias ? tf.add(unbiased, bias) as Tensor : unbiased;
      if (!adapter) return y;
      const { A, B } = adapter.layer[module];
      const z = tf.matMul(x as never, A as never, false, true) as Tensor;
      low[module] = z;
      return tf.add(y, tf.matMul(tf.mul(z, adapter.scale) as never, B as never, false, true));
    };

    const inputScale = rmsScale(input, normEpsilon);
    const normed = tf.mul(tf.mul(input, inputScale), weights.attentionNorm) as Tensor;
    const query = headNorm(linear(normed, 'self_attn.q_proj').reshape([N, Q, D]), weights.queryNorm, normEpsilon);
    const key = headNorm(linear(normed, 'self_attn.k_proj').reshape([N, K, D]), weights.keyNorm, normEpsilon);
    const q = tf.mul(rotate(query.normed, batch, 1), D ** -0.5) as Tensor;
    const k = rotate(key.normed, batch, 1);
    const v = linear(normed, 'self_attn.v_proj').reshape([N, K, D]);
    const cache = want.past ? { k: tf.concat([want.past.k, k], 0), v: tf.concat([want.past.v, v], 0) } : { k, v };
    const segments = batch.segments.map(({ start, size: n, keys, width, mask }) => {
      // Query heads that share a key head stand together, so that keys are never repeated.
      const qRow = q.slice([start, 0, 0], [n, Q, D]).reshape([n, K, R, D]).transpose([1, 2, 0, 3]).reshape([K, R * n, D]);
      const scores = (tf.matMul(qRow as never, gathered(cache.k, keys) as never, false, true) as Tensor).reshape([K * R, n, width]);
      const probabilities = softmaxLastAxis(tf.add(scores, mask)).reshape([K, R * n, width]);
      const output = tf.matMul(probabilities as never, gathered(cache.v, keys) as never) as Tensor;
      return { q: qRow, probabilities, output };
    });
    const attended = tf.concat(
      segments.map(({ output }, i) => {
        const n = batch.segments[i]!.size;
        return output.reshape([K, R, n, D]).transpose([2, 0, 1, 3]).reshape([n, Q * D]);
      }),
      0,
    );
    const middle = tf.add(input, linear(attended, 'self_attn.o_proj')) as Tensor;
    const middleScale = rmsScale(middle, normEpsilon);
    const middleNormed = tf.mul(tf.mul(middle, middleScale), weights.mlpNorm) as Tensor;
    const gate = linear(middleNormed, 'mlp.gate_proj');
    const up = linear(middleNormed, 'mlp.up_proj');
    const gateSigmoid = tf.sigmoid(gate);
    const silu = tf.mul(gate, gateSigmoid) as Tensor;
    const activated = tf.mul(silu, up) as Tensor;
    const output = tf.add(middle, linear(activated, 'mlp.down_proj')) as Tensor;
    return {
      output,
      saved: want.save
        ? { input, inputScale, normed, queryNorm: query.saved, keyNorm: key.saved, k, v, segments, attended, middle, middleScale, middleNormed, gateSigmoid, silu, up, activated, low }
        : null,
      cache: want.past === undefined ? null : cache,
    } satisfies LayerOutput as never;
  });
}

/** d of RMSNorm with gain: s (d g - x s^2 mean(d g x)), s = 1 / rms(x). (N, H) */
export function rmsNormBackward(d: Tensor, x: Tensor, scale: Tensor, gain: Tensor): Tensor {
  const dGain = tf.mul(d, gain);
  const along = tf.mul(tf.mean(tf.mul(dGain, x), -1, true), tf.square(scale));
  return tf.mul(tf.sub(dGain, tf.mul(x, along)), scale);
}

/** What is trained of a layer: it sees every linear layer and every norm's gain of the backward pass, and keeps their gradients. */
export interface LayerTraining<Gradients> {
  readonly gradients: Gradients;
  /** dX of a linear layer whose input was x. */
  linear(dY: Tensor, x: Tensor, module: ModuleName): Tensor;
  /** d of an RMSNorm's output, whose input was x and scale 1 / rms(x). */
  gain(which: NormName, d: Tensor, x: Tensor, scale: Tensor): void;
}

/**
 * A weight as the backward pass takes it: where products are in bfloat16, rounded, also that of queries and keys, whose
 * forward pass is kept in fp32: what errors do there goes through an exponential, and a gradient's do not.
 */
export function backwardWeight(layer: LayerWeights, module: ModuleName): Tensor {
  const weight = layer.modules[module];
  return isNarrow(layer) && !isBf16(weight) ? toBf16(weight) : weight;
}

/** Products with the weights are in bfloat16. */
export const isNarrow = ({ modules }: LayerWeights): boolean => isBf16(modules['mlp.down_proj']);

/** An adapter on frozen weights, of which only dX is taken. */
export function adapterTraining(weights: LayerWeights, saved: SavedLayer, { scale, layer }: { readonly scale: number; readonly layer: LayerAdapter }): LayerTraining<LayerAdapter> {
  const gradients: Partial<Record<ModuleName, AdapterPair<Tensor>>> = {};
  return {
    gradients: gradients as LayerAdapter,
    linear(dY, x, module) {
      const { A, B } = layer[module];
      const dLow = tf.mul(tf.matMul(dY as never, B as never), scale) as Tensor; // (N, r)
      gradients[module] = {
        A: tf.matMul(dLow as never, x as never, true, false),
        B: tf.mul(tf.matMul(dY as never, saved.low[module]! as never, true, false), scale),
      };
      return tf.add(product(dY, backwardWeight(weights, module), false, false), tf.matMul(dLow as never, A as never));
    },
    gain: () => undefined,
  };
}

/** Gradient of a layer's input, and of what is trained of it, from that of its output; disposes of nothing. */
export function layerBackward<Gradients>(
  dOutput: Tensor,
  saved: SavedLayer,
  weights: LayerWeights,
  training: LayerTraining<Gradients>,
  batch: PackedTries,
  config: ModelConfig,
): { dInput: Tensor; gradients: Gradients } {
  return tf.tidy(() => {
    const { heads: Q, keyValueHeads: K, headDimension: D } = config;
    const R = Q / K;
    const N = dOutput.shape[0]!;
    const linearBackward = training.linear;
    /** Through RMSNorm to its input. */
    const normBackward = (which: NormName, d: Tensor, x: Tensor, scale: Tensor, gain: Tensor): Tensor => {
      training.gain(which, d, x, scale);
      return rmsNormBackward(d, x, scale, gain);
    };

    // MLP: activated = gate sigmoid(gate) up
    const { gateSigmoid, silu, up } = saved;
    const dActivated = linearBackward(dOutput, saved.activated, 'mlp.down_proj');
    const dUp = tf.mul(dActivated, silu) as Tensor;
    const dSilu = tf.mul(dActivated, up);
    // silu' = s + gate s (1 - s) = s + silu - silu s
    const dGate = tf.mul(dSilu, tf.add(gateSigmoid, tf.sub(silu, tf.mul(silu, gateSigmoid)))) as Tensor;
    const dMiddleNormed = tf.add(
      linearBackward(dGate, saved.middleNormed, 'mlp.gate_proj'),
      linearBackward(dUp, saved.middleNormed, 'mlp.up_proj'),
    ) as Tensor;
    const dMiddle = tf.add(dOutput, normBackward('mlp', dMiddleNormed, saved.middle, saved.middleScale, weights.mlpNorm)) as Tensor;

    // Attention, segment by segment
    const { k, v } = saved;
    const dAttended = linearBackward(dMiddle, saved.attended, 'self_attn.o_proj');
    const parts = batch.segments.map(({ start, size: n, keys }, i) => {
      const { q, probabilities, output } = saved.segments[i]!;
      const dRow = dAttended.slice([start, 0], [n, Q * D]).reshape([n, K, R, D]).transpose([1, 2, 0, 3]).reshape([K, R * n, D]);
      const dV = tf.matMul(probabilities as never, dRow as never, true, false) as Tensor;
      const dP = tf.matMul(dRow as never, gathered(v, keys) as never, false, true) as Tensor;
      // softmax: dS = P (dP - sum(dP P)), and sum(dP P) = sum(dO O)
      const inner = tf.sum(tf.mul(dRow, output), -1, true);
      const dScores = tf.mul(probabilities, tf.sub(dP, inner)) as Tensor;
      const dQ = tf.matMul(dScores as never, gathered(k, keys) as never) as Tensor;
      const dK = tf.matMul(dScores as never, q as never, true, false) as Tensor;
      return {
        dQ: dQ.reshape([K, R, n, D]).transpose([2, 0, 1, 3]).reshape([n, Q, D]),
        dK: dK.transpose([1, 0, 2]),
        dV: dV.transpose([1, 0, 2]),
      };
    });
    const joined = (which: 'dQ' | 'dK' | 'dV'): Tensor => tf.concat(parts.map((part) => part[which]), 0);
    /** A node's key and value serve many segments; their gradients add up. */
    const summed = (which: 'dK' | 'dV'): Tensor => tf.unsortedSegmentSum(joined(which), batch.allKeys as never, N);
    const unnormed = (which: 'query' | 'key', d: Tensor): Tensor => {
      const norm = saved[`${which}Norm`];
      return norm ? normBackward(which, d, norm.x, norm.scale, weights[`${which}Norm`]!) : d;
    };
    const dQuery = rotate(tf.mul(joined('dQ'), D ** -0.5) as Tensor, batch, -1);
    const dKey = rotate(summed('dK'), batch, -1);
    const dQ = unnormed('query', dQuery).reshape([N, Q * D]);
    const dK = unnormed('key', dKey).reshape([N, K * D]);
    const dV = summed('dV').reshape([N, K * D]);
    const dNormed = tf.addN([
      linearBackward(dQ, saved.normed, 'self_attn.q_proj'),
      linearBackward(dK, saved.normed, 'self_attn.k_proj'),
      linearBackward(dV, saved.normed, 'self_attn.v_proj'),
    ]);
    const dInput = tf.add(dMiddle, normBackward('attention', dNormed, saved.input, saved.inputScale, weights.attentionNorm)) as Tensor;
    return { dInput, gradients: training.gradients } as never;
  });
}

/** Everything a saved layer holds, for disposal. Its input is the layer below's output and is disposed of there. */
export const savedTensors = (saved: SavedLayer): Tensor[] => [
  saved.inputScale,
  saved.normed,
  ...[saved.queryNorm, saved.keyNorm].flatMap((norm) => (norm ? [norm.x, norm.scale] : [])),
  saved.k,
  saved.v,
  ...saved.segments.flatMap(({ q, probabilities, output }) => [q, probabilities, output]),
  saved.attended,
  saved.middle,
  saved.middleScale,
  saved.middleNormed,
  saved.gateSigmoid,
  saved.silu,
  saved.up,
  saved.activated,
  ...moduleNames.flatMap((module) => saved.low[module] ?? []),
];
