import { isBf16, matMul, tf, castToBf16, toFp32, type Tensor } from './backend.js';
import type { DecodeLayer } from './decode-layer.js';
import { moduleNames, moduleShape, type ModelShape, type ModuleName } from './model-config.js';
import type { Adapter, AdapterPair, FrozenWeights, LayerAdapter, LayerWeights } from './transformer.js';

/** theta as the forward and backward passes take it. */
export interface Theta {
  readonly weights: FrozenWeights;
  /** Null where the weights themselves are theta. */
  readonly adapter: Adapter | null;
  /** Tensors that the caller disposes of. */
  readonly views: readonly unknown[];
}

/** x W^T + b, and an adapter's part where it is not merged in. */
export interface FusedLinear<T = Tensor> {
  readonly matrix: T; // (out, in)
  readonly bias: T | null; // (out)
  /** A is (r, in); B is (out, r) with the scale in it. */
  readonly low: AdapterPair<T> | null;
}

/** theta for decoding: few and large matrix products. */
export interface DecodeWeights {
  /** For prefill. */
  readonly frozen: FrozenWeights;
  readonly adapter: Adapter | null;
  readonly layers: readonly DecodeLayer<Tensor>[];
  /** Tensors made for decoding, disposed of together with it. */
  readonly owned: readonly unknown[];
}

const FUSED = {
  qkv: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  output: ['self_attn.o_proj'],
  gateUp: ['mlp.gate_proj', 'mlp.up_proj'],
  down: ['mlp.down_proj'],
} as const satisfies Record<string, readonly ModuleName[]>;

/** Into fp32 weights the adapter is merged; bfloat16 would round its small changes away, so there it stays beside them. */
export function fusedWeights({ weights, adapter, views }: Theta): DecodeWeights {
  const { config } = weights;
  const merges =
    adapter !== null && !weights.layers.some(({ modules }) => moduleNames.some((module) => isBf16(modules[module])));
  const sources = merges ? mergeAdapter(weights.layers, adapter) : weights.layers;
  const layers = sources.map((source, l) =>
    tf.tidy(() => {
      const { queryNorm, keyNorm } = source;
      const { heads, keyValueHeads, headDimension } = config;
      const repeated = (gain: Tensor, times: number): Tensor => tf.tile(gain.reshape([1, headDimension]), [times, 1]);
      const parts = Object.entries(FUSED).map(([name, modules]) => [
        name,
        {
          matrix: fusedMatrix(source, modules),
          bias: fusedBias(source, modules, config),
          low: merges || !adapter ? null : fusedPair(adapter.layers[l]!, modules, adapter.scale),
        },
      ]);
      return {
        ...Object.fromEntries(parts),
        attentionNorm: source.attentionNorm,
        mlpNorm: source.mlpNorm,
        qkNorm:
          queryNorm && keyNorm ? tf.concat([repeated(queryNorm, heads), repeated(keyNorm, keyValueHeads)], 0) : null,
      } as never;
    }),
  ) as unknown as DecodeWeights['layers'];
  const held = new Set<Tensor>(
    weights.layers.flatMap(({ modules, biases }) => [...Object.values(modules), ...Object.values(biases)]),
  );
  const made = layers.flatMap(({ qkNorm, qkv, output, gateUp, down }) => [
    qkNorm,
    ...[qkv, output, gateUp, down].flatMap(({ matrix, bias, low }) => [matrix, bias, low?.A, low?.B]),
  ]);
  const owned = made.filter((tensor): tensor is Tensor => tensor != null && !held.has(tensor));
  if (!merges) return { frozen: weights, adapter, layers, owned: [owned, views] };
  // Prefill takes the merged matrices as they are.
  tf.dispose(views as never);
  return {
    frozen: { ...weights, layers: sources },
    adapter: null,
    layers,
    owned: [owned, sources.map(({ modules }) => modules)],
  };
}

function fusedMatrix({ modules }: LayerWeights, names: readonly ModuleName[]): Tensor {
  if (names.length === 1) return modules[names[0]!];
  const parts = names.map((name) => toFp32(modules[name]));
  const whole = tf.concat(parts, 0);
  return names.every((name) => isBf16(modules[name])) ? castToBf16(whole) : whole;
}

/** Biases of modules that decoding computes as one; zero where only some have one. */
function fusedBias({ biases }: LayerWeights, names: readonly ModuleName[], config: ModelShape): Tensor | null {
  if (!names.some((name) => biases[name])) return null;
  if (names.length === 1) return biases[names[0]!]!;
  return tf.concat(
    names.map((name) => biases[name] ?? tf.zeros([moduleShape(config, name)[0]])),
    0,
  );
}

/** Low-rank parts side by side: the As below each other, the Bs along the diagonal. */
function fusedPair(layer: LayerAdapter, names: readonly ModuleName[], scale: number): AdapterPair<Tensor> {
  const A = tf.concat(
    names.map((name) => layer[name].A),
    0,
  );
  const ranks = names.map((name) => layer[name].A.shape[0]);
  const B = tf.concat(
    names.map((name, i) => {
      const before = ranks.slice(0, i).reduce((sum, r) => sum + r, 0);
      return tf.pad(layer[name].B as never, [
        [0, 0],
        [before, A.shape[0] - before - ranks[i]!],
      ]) as Tensor;
    }),
    0,
  );
  return { A: tf.keep(A), B: tf.mul(B, scale) };
}

/** W + scale B A for every module; the norms and biases are shared with the layers given. */
export function mergeAdapter(layers: readonly LayerWeights[], adapter: Adapter): LayerWeights[] {
  return layers.map((layer, l) => ({
    ...layer,
    modules: Object.fromEntries(
      moduleNames.map((module) => {
        const { A, B } = adapter.layers[l]![module];
        return [
          module,
          tf.tidy(() => tf.add(layer.modules[module], tf.mul(matMul(B, A, false, false), adapter.scale))),
        ];
      }),
    ) as unknown as LayerWeights['modules'],
  }));
}

/** Adapters of one scale as one of their ranks' sum, the trainable one last. */
export function concatenateAdapters(
  merged: readonly Adapter[],
  trainable: Adapter | null,
): { adapter: Adapter; views: readonly unknown[] } {
  const all = trainable ? [...merged, trainable] : merged;
  const layers = all[0]!.layers.map((_, l) =>
    Object.fromEntries(
      moduleNames.map((module) => {
        const pairs = all.map(({ layers: of }) => of[l]![module]);
        return [
          module,
          {
            A: tf.concat(
              pairs.map(({ A }) => A),
              0,
            ),
            B: tf.concat(
              pairs.map(({ B }) => B),
              1,
            ),
          },
        ];
      }),
    ),
  ) as unknown as LayerAdapter[];
  const { scale, rank } = all.at(-1)!;
  return { adapter: { scale, rank, layers }, views: layers };
}
