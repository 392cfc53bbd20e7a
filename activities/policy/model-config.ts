/** Shape of a decoder-only transformer of the Llama family, as its file says it. */
export interface ModelConfig {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDimension: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly ropeBase: number;
  readonly normEpsilon: number;
  /** The output head is the embedding matrix. */
  readonly tiedEmbeddings: boolean;
}

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

/** [output width, input width] of a module: its weight is stored (out, in), as PyTorch does. */
export function moduleShape(config: ModelConfig, module: ModuleName): readonly [number, number] {
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
