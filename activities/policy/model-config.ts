/** Shape of a decoder-only transformer of the Llama family, as its file says it. */
export interface ModelShape {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDimension: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly ropeBase: number;
  /** How the rotary frequencies were stretched for a longer context; null is not at all. */
  readonly ropeScaling: RopeScaling | null;
  readonly normEpsilon: number;
  /** The output head is the embedding matrix. */
  readonly tiedEmbeddings: boolean;
  /** Modules that add a bias: query, key and value in Qwen2, none in Llama and Qwen3 as released. */
  readonly biases: readonly ModuleName[];
  /** RMSNorm with a gain on every query and key head, before the rotation, as in Qwen3. */
  readonly queryKeyNorm: boolean;
}

/** The variants of transformers' `rope_type` that Llama and Qwen use, and GGUF's table of divisors. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalContextLength: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Round the borders of the ramp to whole dimensions. */
      readonly truncate: boolean;
      /** What cosine and sine are multiplied by. */
      readonly attentionFactor: number;
    }
  /** One divisor per frequency: llama.cpp's way of storing llama3 scaling. */
  | { readonly type: 'divisors'; readonly divisors: readonly number[] };

/** Tokens that a model reads: what its file states, or more where YaRN stretches the original context beyond it. */
export const stretchedContext = (stated: number, scaling: RopeScaling | null): number =>
  scaling?.type === 'yarn' ? Math.max(stated, Math.floor(scaling.factor * scaling.originalContextLength)) : stated;

/** The seven adapted matrices of a layer, by their Hugging Face names, in the order in which they act. */
export const moduleNames = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
] as const;
export type ModuleName = (typeof moduleNames)[number];

/**
 * Modules that bf16 rounds. Not those of queries and keys, an eighth of SmolLM2's arithmetic: an error of their product
 * goes through an exponential, and rounding them too costs log-probs half again as much (mean 0.037 nats instead of 0.027).
 */
export const bf16Modules: readonly ModuleName[] = moduleNames.filter(
  (module) => module !== 'self_attn.q_proj' && module !== 'self_attn.k_proj',
);

/** [output width, input width] of a module: its weight is stored (out, in), as PyTorch does. */
export function moduleShape(config: ModelShape, module: ModuleName): readonly [number, number] {
  const { hidden, heads, keyValueHeads, headDimension, feedForward } = config;
  switch (module) {
    case 'self_attn.q_proj':
      return [heads * headDimension, hidden];
    case 'self_attn.k_proj':
    case 'self_attn.v_proj':
      return [keyValueHeads * headDimension, hidden];
    case 'self_attn.o_proj':
      return [hidden, heads * headDimension];
    case 'mlp.gate_proj':
    case 'mlp.up_proj':
      return [feedForward, hidden];
    case 'mlp.down_proj':
      return [hidden, feedForward];
  }
}
