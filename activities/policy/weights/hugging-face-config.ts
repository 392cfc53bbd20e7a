import type { ModelConfig, ModuleName, RopeScaling } from '../model-config.js';
import { ModelFileInvalid } from './model-file-error.js';

type Json = Record<string, unknown>;

/** Architectures that we compute, and what their configuration class assumes where config.json is silent. */
const families: Readonly<Record<string, { architecture: string; defaults: Json }>> = {
  llama: { architecture: 'LlamaForCausalLM', defaults: { rms_norm_eps: 1e-6, max_position_embeddings: 2048, attention_bias: false } },
  qwen2: { architecture: 'Qwen2ForCausalLM', defaults: { rms_norm_eps: 1e-6, max_position_embeddings: 32768 } },
  qwen3: { architecture: 'Qwen3ForCausalLM', defaults: { rms_norm_eps: 1e-6, max_position_embeddings: 32768, attention_bias: false, head_dim: 128 } },
};

/** Read below; everything else must be in one of the next two lists. */
const read = new Set([
  'architectures', 'model_type', 'num_hidden_layers', 'hidden_size', 'num_attention_heads', 'num_key_value_heads', 'head_dim', 'intermediate_size',
  'vocab_size', 'max_position_embeddings', 'rope_theta', 'rope_scaling', 'rope_parameters', 'rms_norm_eps', 'tie_word_embeddings', 'attention_bias', 'mlp_bias',
  'layer_types', 'sliding_window', 'use_sliding_window', 'max_window_layers', 'hidden_act', 'eos_token_id',
]);
/** Do not reach the numbers of a forward or backward pass. */
const harmless = new Set([
  '_name_or_path', 'transformers_version', 'torch_dtype', 'dtype', 'use_cache', 'initializer_range', 'bos_token_id', 'pad_token_id', 'unk_token_id', 'sep_token_id',
  'decoder_start_token_id', 'output_attentions', 'output_hidden_states', 'return_dict', 'id2label', 'label2id', 'problem_type', 'task_specific_params', 'tokenizer_class', 'prefix',
  'finetuning_task', 'is_encoder_decoder', '_attn_implementation_autoset', '_attn_implementation', 'keys_to_ignore_at_inference', 'base_model_tp_plan', 'base_model_pp_plan', 'chunk_size_feed_forward',
]);
/** Would change the numbers if they were anything else. */
const fixed: Readonly<Record<string, unknown>> = {
  hidden_act: 'silu', attention_dropout: 0, pretraining_tp: 1, quantization_config: null, partial_rotary_factor: 1, use_sliding_window: false,
  add_cross_attention: false, is_decoder: false, rope_interleaved: false, use_bidirectional_attention: false, tie_encoder_decoder: false, cross_attention_hidden_size: null, pruned_heads: {},
};

/**
 * config.json as a ModelConfig. Anything that would change the numbers and is not computed here is
 * refused by its name, and so is every setting that is not known.
 *
 * @throws {ModelFileInvalid}
 */
export function configOf(file: string, json: Json): ModelConfig {
  const refuse = (problem: string, remedy = 'Use a Llama, Qwen2, Qwen2.5 or Qwen3 dense model as transformers saves it'): never => {
    throw new ModelFileInvalid(file, problem, remedy);
  };
  const type = json['model_type'];
  if (typeof type !== 'string' || !Object.hasOwn(families, type)) return refuse(`has model_type ${JSON.stringify(type)}, known are ${Object.keys(families).join(', ')}`);
  const { architecture, defaults } = families[type]!;
  const architectures = json['architectures'];
  if (architectures !== undefined && architectures !== null && (!Array.isArray(architectures) || architectures.join() !== architecture)) {
    refuse(`has architectures ${JSON.stringify(architectures)}, expected ["${architecture}"]`);
  }
  for (const [key, value] of Object.entries(json)) {
    if (Object.hasOwn(fixed, key)) {
      if (value !== null && JSON.stringify(value) !== JSON.stringify(fixed[key])) refuse(`has ${key} = ${JSON.stringify(value)}, which would change the numbers; only ${JSON.stringify(fixed[key])} is computed`);
    } else if (!read.has(key) && !harmless.has(key)) {
      refuse(`has ${key} = ${JSON.stringify(value)}, which is not known here and might change the numbers`, 'Remove the setting from config.json if it does not');
    }
  }
  const layerTypes = json['layer_types'];
  if (Array.isArray(layerTypes) && layerTypes.some((layer) => layer !== 'full_attention')) {
    refuse(`has layer_types ${JSON.stringify([...new Set(layerTypes)])}; only full_attention is computed`);
  }
  // Without use_sliding_window the window is recorded but not used; Llama has no such switch.
  if (type === 'llama' && json['sliding_window'] != null) refuse(`has sliding_window = ${JSON.stringify(json['sliding_window'])}; only full attention is computed`);
  if (type !== 'llama' && json['mlp_bias']) refuse('has mlp_bias, which this architecture does not have');
  if (type === 'qwen2' && json['attention_bias'] === false) refuse('has attention_bias = false; Qwen2 always adds a bias to queries, keys and values');

  const number = (key: string, otherwise?: number): number => {
    const value = json[key] ?? defaults[key] ?? otherwise;
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value)) return refuse(`${key} is ${JSON.stringify(value)}, expected a positive number`);
    return value;
  };
  const whole = (key: string, otherwise?: number): number => {
    const value = number(key, otherwise);
    return Number.isInteger(value) ? value : refuse(`${key} is ${value}, expected a whole number`);
  };
  const hidden = whole('hidden_size');
  const heads = whole('num_attention_heads');
  const keyValueHeads = whole('num_key_value_heads', heads);
  const headDimension = whole('head_dim', hidden / heads);
  if (heads % keyValueHeads !== 0) refuse(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${keyValueHeads}`);
  if (headDimension % 2 !== 0) refuse(`head_dim ${headDimension} is odd`);
  const contextLength = whole('max_position_embeddings');
  const attention: ModuleName[] = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'];
  const bias = type === 'qwen2' ? attention : json['attention_bias'] ? [...attention, 'self_attn.o_proj' as const] : [];
  return {
    layers: whole('num_hidden_layers'),
    hidden,
    heads,
    keyValueHeads,
    headDimension,
    feedForward: whole('intermediate_size'),
    vocabulary: whole('vocab_size'),
    contextLength,
    ...rope(json, contextLength, refuse),
    normEpsilon: number('rms_norm_eps'),
    tiedEmbeddings: json['tie_word_embeddings'] === true,
    biases: json['mlp_bias'] ? [...bias, 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'] : bias,
    queryKeyNorm: type === 'qwen3',
  };
}

/** Two spellings: `rope_theta` with `rope_scaling`, or since transformers 5 both in `rope_parameters`. */
function rope(json: Json, contextLength: number, refuse: (problem: string) => never): Pick<ModelConfig, 'ropeBase' | 'ropeScaling'> {
  const place = json['rope_parameters'] == null ? 'rope_scaling' : 'rope_parameters';
  const given = (json[place] ?? {}) as Json;
  if (json['rope_parameters'] != null && json['rope_scaling'] != null) refuse('has both rope_parameters and rope_scaling');
  const unread = new Set(Object.keys(given));
  const field = (key: string): unknown => {
    unread.delete(key);
    return given[key] ?? undefined;
  };
  const number = (key: string, otherwise?: number): number => {
    const value = field(key) ?? otherwise;
    if (typeof value !== 'number' || !(value > 0)) return refuse(`${place}.${key} is ${JSON.stringify(value)}, expected a positive number`);
    return value;
  };
  const type = field('rope_type') ?? field('type') ?? 'default';
  field('type');
  const ropeBase = number('rope_theta', (json['rope_theta'] as number | undefined) ?? 10_000);
  const partial = field('partial_rotary_factor') ?? 1;
  if (partial !== 1) refuse(`${place}.partial_rotary_factor is ${JSON.stringify(partial)}, only 1 is computed`);
  const scaling = (): RopeScaling | null => {
    switch (type) {
      case 'default':
        return null;
      case 'linear':
        return { type: 'linear', factor: number('factor') };
      case 'llama3':
        return {
          type: 'llama3',
          factor: number('factor'),
          lowFrequencyFactor: number('low_freq_factor'),
          highFrequencyFactor: number('high_freq_factor'),
          originalContextLength: number('original_max_position_embeddings'),
        };
      case 'yarn': {
        const factor = number('factor');
        const [mscale, mscaleAll] = [field('mscale'), field('mscale_all_dim')] as [number | undefined, number | undefined];
        const growth = (by: number): number => (factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1);
        const truncate = field('truncate') ?? true;
        if (typeof truncate !== 'boolean') refuse(`${place}.truncate is ${JSON.stringify(truncate)}, expected true or false`);
        return {
          type: 'yarn',
          factor,
          originalContextLength: number('original_max_position_embeddings', contextLength),
          betaFast: number('beta_fast', 32),
          betaSlow: number('beta_slow', 1),
          truncate: truncate as boolean,
          attentionFactor: number('attention_factor', mscale && mscaleAll ? growth(mscale) / growth(mscaleAll) : growth(1)),
        };
      }
      default:
        return refuse(`${place}.rope_type is ${JSON.stringify(type)}, known are default, linear, llama3, yarn`);
    }
  };
  const ropeScaling = scaling();
  if (type === 'default') unread.delete('factor');
  // Recorded by some exporters next to variants that do not read it.
  unread.delete('original_max_position_embeddings');
  if (unread.size > 0) refuse(`${place} has ${[...unread].join(', ')}, which rope_type ${JSON.stringify(type)} does not read here and might change the numbers`);
  return { ropeBase, ropeScaling };
}
