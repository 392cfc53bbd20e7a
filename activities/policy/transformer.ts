import {
  attentionBackward,
  attentionForward,
  attentionTensors,
  type KeysAndValues,
  type SavedAttention,
} from './attention.js';
import { isBf16, matMul, toBf16, matMulMixed, tf, type Tensor } from './backend.js';
import { eager, rmsScaleBy, rotateBy } from './ops.js';
import { moduleNames, type ModelShape, type ModuleName } from './model-config.js';
import type { PackedTries } from './packed-tries.js';
import type { NormName } from './weights/weight-reader.js';

/**
 * Forward and backward pass of a Llama-family decoder over packed token tries, written out by hand:
 * the tape of tf.js would keep every intermediate of every operation alive.
 *
 * Shapes: N nodes of all tries of a micro-batch, H = hidden, D = head dimension,
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
  readonly config: ModelShape;
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
  /** Of what is trained: the last of A's rows and of B's columns; before them may stand merged adapters. */
  readonly rank: number;
  readonly layers: readonly LayerAdapter[];
}

/**
 * What the backward pass of a layer needs of its forward pass. Inputs of linear layers, from which their gradients are made, are in
 * bfloat16 where products with the weights are. P nodes are given out: all, or those that were asked for.
 */
interface SavedLayer {
  input: Tensor; // (N, H)
  /** Nodes that are given out, (P) int32; null if all are. The caller's. */
  rows: Tensor | null;
  inputScale: Tensor; // (N, 1) 1 / rms
  normed: Tensor; // (N, H)
  /** Of the norms of queries and keys: their input and 1 / rms. */
  queryNorm: { x: Tensor; scale: Tensor } | null; // (N, Q, D), (N, Q, 1)
  keyNorm: { x: Tensor; scale: Tensor } | null; // (N, K, D), (N, K, 1)
  attention: SavedAttention;
  attended: Tensor; // (P, Q D)
  attendedInput: Tensor; // (P, Q D): the same as the input of the linear layer
  middle: Tensor; // (P, H)
  middleScale: Tensor; // (P, 1)
  middleNormed: Tensor; // (P, H)
  gateSigmoid: Tensor; // (P, F)
  silu: Tensor; // (P, F) gate sigmoid(gate)
  up: Tensor; // (P, F)
  activated: Tensor; // (P, F)
  /** x A^T of each module, (N or P, r) */
  low: Partial<Record<ModuleName, Tensor>>;
}
export interface LayerOutput {
  output: Tensor; // (P, H)
  saved: SavedLayer | null;
  /** Those of the past and then of these nodes; null unless a past was given. */
  cache: KeysAndValues | null;
}

export const rmsScale = (x: Tensor, epsilon: number): Tensor => rmsScaleBy(eager, x, epsilon);
const rotate = (x: Tensor, { cos, sin }: PackedTries, sign: 1 | -1): Tensor =>
  rotateBy(eager, x, cos, sin, x.shape[2]!, sign);

/** RMSNorm of every head of queries or keys, (N, heads, D); without a gain nothing happens. */
function headNorm(
  x: Tensor,
  gain: Tensor | null,
  epsilon: number,
): { normed: Tensor; saved: { x: Tensor; scale: Tensor } | null } {
  if (gain === null) return { normed: x, saved: null };
  const scale = rmsScale(x, epsilon);
  return { normed: tf.mul(tf.mul(x, scale), gain), saved: { x, scale } };
}

/**
 * One decoder layer. Runs inside a tidy; what it returns survives.
 * @param want.past  keys and values of the nodes before these, to which segments' keys count too; null if there are none yet
 * @param want.rows  (P) int32: the nodes whose output is wanted, all of them if null; what comes after attention is done for them alone
 */
export function layerForward(
  input: Tensor,
  weights: LayerWeights,
  adapter: { readonly scale: number; readonly layer: LayerAdapter } | null,
  batch: PackedTries,
  config: ModelShape,
  want: { readonly save: boolean; readonly past?: KeysAndValues | null; readonly rows?: Tensor | null },
): LayerOutput {
  return tf.tidy(() => {
    const { heads: Q, keyValueHeads: K, headDimension: D, normEpsilon } = config;
    const N = input.shape[0];
    const low: Partial<Record<ModuleName, Tensor>> = {};
    const fitting = castFor(weights);
    /** @param fit  x as it is in products with the narrow weights */
    const linear = (x: Tensor, fit: Tensor, module: ModuleName): Tensor => {
      const weight = weights.modules[module];
      const unbiased = matMulMixed(isBf16(weight) ? fit : x, weight, false, true);
      const bias = weights.biases[module];
      const y = bias ? (tf.add(unbiased, bias) as Tensor) : unbiased;
      if (!adapter) return y;
      const { A, B } = adapter.layer[module];
      const z = matMul(x, A, false, true);
      low[module] = z;
      return tf.add(y, matMul(tf.mul(z, adapter.scale), B, false, true));
    };

    const inputScale = rmsScale(input, normEpsilon);
    const normed = tf.mul(tf.mul(input, inputScale), weights.attentionNorm) as Tensor;
    const normedFit = fitting(normed);
    const query = headNorm(
      linear(normed, normedFit, 'self_attn.q_proj').reshape([N, Q, D]),
      weights.queryNorm,
      normEpsilon,
    );
    const key = headNorm(
      linear(normed, normedFit, 'self_attn.k_proj').reshape([N, K, D]),
      weights.keyNorm,
      normEpsilon,
    );
    const q = tf.mul(rotate(query.normed, batch, 1), D ** -0.5) as Tensor;
    const k = rotate(key.normed, batch, 1);
    const v = linear(normed, normedFit, 'self_attn.v_proj').reshape([N, K, D]);
    const cache = want.past ? { k: tf.concat([want.past.k, k], 0), v: tf.concat([want.past.v, v], 0) } : { k, v };
    const { attended: ofAll, saved: attention } = attentionForward(q, cache, batch, config);
    const rows = want.rows ?? null;
    const wanted = (x: Tensor): Tensor => (rows ? tf.gather(x, rows) : x);
    const attended = wanted(ofAll);
    const attendedInput = fitting(attended);
    const middle = tf.add(wanted(input), linear(attended, attendedInput, 'self_attn.o_proj')) as Tensor;
    const middleScale = rmsScale(middle, normEpsilon);
    const middleNormed = tf.mul(tf.mul(middle, middleScale), weights.mlpNorm) as Tensor;
    const middleFit = fitting(middleNormed);
    const gate = linear(middleNormed, middleFit, 'mlp.gate_proj');
    const up = linear(middleNormed, middleFit, 'mlp.up_proj');
    const gateSigmoid = tf.sigmoid(gate);
    const silu = tf.mul(gate, gateSigmoid) as Tensor;
    const activated = tf.mul(silu, up) as Tensor;
    const activatedFit = fitting(activated);
    const output = tf.add(middle, linear(activated, activatedFit, 'mlp.down_proj')) as Tensor;
    return {
      output,
      saved: want.save
        ? {
            input,
            rows,
            inputScale,
            normed: normedFit,
            queryNorm: query.saved,
            keyNorm: key.saved,
            attention,
            attended,
            attendedInput,
            middle,
            middleScale,
            middleNormed: middleFit,
            gateSigmoid,
            silu,
            up,
            activated: activatedFit,
            low,
          }
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
  return usesBf16(layer) ? toBf16(weight) : weight;
}

/** Products with the weights are in bfloat16. */
export const usesBf16 = ({ modules }: LayerWeights): boolean => isBf16(modules['mlp.down_proj']);

/** An input of products with a layer's weights, rounded where they are narrow. */
export const castFor = (weights: LayerWeights): ((x: Tensor) => Tensor) => (usesBf16(weights) ? toBf16 : (x) => x);

/**
 * The trained part of an adapter on frozen weights, of which only dX is taken. Its products are as precise as those with the weights;
 * in the forward pass they are fp32, where an adapter's small changes would be rounded away.
 */
export function adapterTraining(
  weights: LayerWeights,
  saved: SavedLayer,
  { scale, rank }: Pick<Adapter, 'scale' | 'rank'>,
  layer: LayerAdapter,
): LayerTraining<LayerAdapter> {
  const gradients: Partial<Record<ModuleName, AdapterPair<Tensor>>> = {};
  const fitting = castFor(weights);
  /** (N, all ranks) -> (N, rank) */
  const trained = (x: Tensor): Tensor =>
    x.shape[1] === rank ? x : x.slice([0, x.shape[1]! - rank], [x.shape[0], rank]);
  return {
    gradients: gradients as LayerAdapter,
    linear(dY, x, module) {
      const { A, B } = layer[module];
      const d = fitting(dY);
      const dLow = tf.mul(matMulMixed(d, fitting(B), false, false), scale) as Tensor; // (N, all ranks)
      gradients[module] = {
        A: matMulMixed(trained(dLow), x, true, false),
        B: tf.mul(matMulMixed(d, fitting(trained(saved.low[module]!)), true, false), scale),
      };
      return tf.add(
        matMulMixed(d, backwardWeight(weights, module), false, false),
        matMulMixed(dLow, fitting(A), false, false),
      );
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
  config: ModelShape,
): { dInput: Tensor; gradients: Gradients } {
  return tf.tidy(() => {
    const { heads: Q, keyValueHeads: K, headDimension: D } = config;
    const N = saved.input.shape[0];
    /** (P, width) -> (N, width), zero where no output was wanted. */
    const spread = (x: Tensor): Tensor => (saved.rows ? tf.unsortedSegmentSum(x, saved.rows as never, N) : x);
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
    const dMiddle = tf.add(
      dOutput,
      normBackward('mlp', dMiddleNormed, saved.middle, saved.middleScale, weights.mlpNorm),
    ) as Tensor;

    const dAttended = linearBackward(dMiddle, saved.attendedInput, 'self_attn.o_proj');
    const dAttention = attentionBackward(spread(dAttended), spread(saved.attended), saved.attention, batch, config);
    const unnormed = (which: 'query' | 'key', d: Tensor): Tensor => {
      const norm = saved[`${which}Norm`];
      return norm ? normBackward(which, d, norm.x, norm.scale, weights[`${which}Norm`]!) : d;
    };
    const dQuery = rotate(tf.mul(dAttention.q, D ** -0.5) as Tensor, batch, -1);
    const dKey = rotate(dAttention.k, batch, -1);
    const dQ = unnormed('query', dQuery).reshape([N, Q * D]);
    const dK = unnormed('key', dKey).reshape([N, K * D]);
    const dV = dAttention.v.reshape([N, K * D]);
    const dNormed = tf.addN([
      linearBackward(dQ, saved.normed, 'self_attn.q_proj'),
      linearBackward(dK, saved.normed, 'self_attn.k_proj'),
      linearBackward(dV, saved.normed, 'self_attn.v_proj'),
    ]);
    const dInput = tf.add(
      spread(dMiddle),
      normBackward('attention', dNormed, saved.input, saved.inputScale, weights.attentionNorm),
    ) as Tensor;
    return { dInput, gradients: training.gradients } as never;
  });
}

/** Everything a saved layer holds, for disposal. Its input is the layer below's output and is disposed of there. */
export const savedTensors = (saved: SavedLayer): Tensor[] => [
  saved.inputScale,
  saved.normed,
  ...[saved.queryNorm, saved.keyNorm].flatMap((norm) => (norm ? [norm.x, norm.scale] : [])),
  ...attentionTensors(saved.attention),
  saved.attended,
  saved.attendedInput,
  saved.middle,
  saved.middleScale,
  saved.middleNormed,
  saved.gateSigmoid,
  saved.silu,
  saved.up,
  saved.activated,
  ...moduleNames.flatMap((module) => saved.low[module] ?? []),
];
