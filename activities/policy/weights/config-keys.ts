/**
 * What we know of the keys of config.json, with transformers as the measure: what its own class of a family does not
 * read cannot change the family's numbers. test/activities/policy/weights/config-keys.test.ts holds these lists against
 * transformers itself.
 */

interface Family {
  readonly architecture: string;
  readonly defaults: Readonly<Record<string, unknown>>;
}
/** Architectures that we compute, and what their configuration class assumes where config.json is silent. */
export const families: Readonly<Record<string, Family>> = {
  llama: {
    architecture: 'LlamaForCausalLM',
    defaults: { rms_norm_eps: 1e-6, max_position_embeddings: 2048, attention_bias: false },
  },
  qwen2: { architecture: 'Qwen2ForCausalLM', defaults: { rms_norm_eps: 1e-6, max_position_embeddings: 32768 } },
  qwen3: {
    architecture: 'Qwen3ForCausalLM',
    defaults: { rms_norm_eps: 1e-6, max_position_embeddings: 32768, attention_bias: false, head_dim: 128 },
  },
};

/** Read by hugging-face-config.ts, which refuses what it does not compute. */
export const read: ReadonlySet<string> = new Set([
  'architectures', 'model_type', 'num_hidden_layers', 'hidden_size', 'num_attention_heads', 'num_key_value_heads',
  'head_dim', 'intermediate_size',
  'vocab_size', 'max_position_embeddings', 'rope_theta', 'rope_scaling', 'rope_parameters',
  'original_max_position_embeddings', 'rms_norm_eps', 'tie_word_embeddings',
  'attention_bias', 'mlp_bias', 'layer_types', 'sliding_window', 'use_sliding_window', 'max_window_layers',
  'eos_token_id', 'quantization_config', 'quantization', 'compression_config',
]);

/** Do not reach the numbers of a forward or backward pass. */
export const harmless: ReadonlySet<string> = new Set([
  '_name_or_path', 'name_or_path', '_commit_hash', 'transformers_version', 'model_name', 'license', 'torch_dtype',
  'dtype', 'use_bfloat16', 'torchscript', 'use_cache', 'initializer_range',
  'bos_token_id', 'pad_token_id', 'unk_token_id', 'sep_token_id', 'cls_token_id', 'mask_token_id',
  'decoder_start_token_id', 'tokenizer_class', 'prefix', 'tokenizer_padding_side',
  'output_attentions', 'output_hidden_states', 'return_dict', 'id2label', 'label2id', 'num_labels', 'problem_type',
  'task_specific_params', 'finetuning_task',
  'is_encoder_decoder', 'is_decoder', 'keys_to_ignore_at_inference', 'base_model_tp_plan', 'base_model_pp_plan',
  'chunk_size_feed_forward', 'tf_legacy_loss',
  // How the same numbers are computed.
  '_attn_implementation', '_attn_implementation_autoset', '_attn_implementation_internal', 'attn_implementation',
  '_experts_implementation', 'use_sdpa', 'use_fused_rms_norm', 'use_fused_qkv',
  'pretraining_tp', 'gradient_checkpointing', 'use_reentrant',
  // Dropouts of other families; attention_dropout, which these read, is not one of them.
  'attention_probs_dropout_prob', 'hidden_dropout', 'hidden_dropout_prob', 'resid_pdrop', 'embd_pdrop', 'attn_pdrop',
  'classifier_dropout',
  // Marks and notes of the tools that saved the file; how long a text may be for them.
  'is_llama_config', 'transformers.js_config', 'training_args', 'peft_config', 'trl_version', 'axolotl_config',
  'mergekit_version', 'mlx_version',
  'model_max_length', 'tokenizer_model_max_length', 'max_sequence_length', 'max_seq_len', 'seq_length', 'n_positions',
  'n_ctx',
  // Parameters of generation, which belong to generation_config.json.
  'max_length', 'min_length', 'max_new_tokens', 'min_new_tokens', 'do_sample', 'early_stopping', 'num_beams',
  'num_beam_groups', 'diversity_penalty', 'temperature', 'top_k', 'top_p', 'min_p', 'typical_p',
  'epsilon_cutoff', 'eta_cutoff', 'repetition_penalty', 'encoder_repetition_penalty', 'length_penalty',
  'no_repeat_ngram_size', 'encoder_no_repeat_ngram_size', 'bad_words_ids', 'num_return_sequences',
  'output_scores', 'return_dict_in_generate', 'forced_bos_token_id', 'forced_eos_token_id', 'remove_invalid_values',
  'exponential_decay_length_penalty', 'suppress_tokens', 'begin_suppress_tokens',
  'num_assistant_tokens', 'num_assistant_tokens_schedule', 'assistant_confidence_threshold', 'assistant_lookbehind',
  'target_lookbehind', 'guidance_scale', 'penalty_alpha',
]);
/** The same, of keys that come in families. */
export const harmlessFamilies = /^(unsloth_|_flash_attn|use_flash_attn|use_flash_attention)/;

/** Would change the numbers if they were anything else: in transformers, or in other families under that name. */
export const fixed: Readonly<Record<string, readonly unknown[]>> = {
  hidden_act: ['silu', 'swish'],
  // Without null: an attention that is not told to be causal looks ahead.
  is_causal: [true],
  attention_dropout: [0, null],
  partial_rotary_factor: [1, null],
  attention_chunk_size: [null],
  add_cross_attention: [false, null],
  rope_interleaved: [false, null],
  use_mrope: [false, null],
  use_bidirectional_attention: [false, null],
  tie_encoder_decoder: [false, null],
  use_qk_norm: [false, null],
  qk_layernorm: [false, null],
  alibi: [false, null],
  clip_qkv: [null],
  query_pre_attn_scalar: [null],
  attention_multiplier: [null],
  attn_logit_softcapping: [null],
  final_logit_softcapping: [null],
  residual_multiplier: [1, null],
  residual_scale: [1, null],
  embedding_multiplier: [1, null],
  embedding_scale: [1, null],
  logits_scaling: [1, null],
  logit_scale: [1, null],
  scale_emb: [1, null],
  scale_depth: [1, null],
};

/** The same, where only nothing is neutral: other weights, layers that differ, experts. */
export const absent: ReadonlySet<string> = new Set([
  'per_layer_config', 'is_heterogeneous', 'kv_sharing_modes', 'fusion_config', 'transformers_weights',
  'default_rope_type', 'default_theta', '_rope_type_labels', 'cross_attention_hidden_size', 'pruned_heads',
  'num_experts', 'num_local_experts', 'n_routed_experts', 'no_rope_layers', 'kv_lora_rank', 'q_lora_rank',
]);

/** A key that says nothing: a class that does not read it cannot have meant it otherwise. */
export const isNothing = (value: unknown): boolean =>
  value === null || value === false || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);
