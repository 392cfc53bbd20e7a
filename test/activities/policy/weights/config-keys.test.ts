import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { absent, fixed, harmless, harmlessFamilies, read } from '../../../../activities/policy/weights/config-keys.js';
import { configOf } from '../../../../activities/policy/weights/hugging-face-config.js';
import type { ModelShape } from '../../../../activities/policy/model-config.js';
import { root } from '../../../support/root.js';
import { tinyModel } from '../tiny-models.js';

/** Oracle: transformers itself, which keys its code asks for and which move its logits (fixtures/make_config_keys.py). */
const fixtures = path.join(root, 'test/activities/policy/fixtures');
const jsonOf = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
const oracle = jsonOf(path.join(fixtures, 'config-keys.json')) as {
  read: Record<string, string[]>;
  probes: Record<string, unknown[]>;
  inert: string[];
};
const base = (family: string): Record<string, unknown> => jsonOf(path.join(tinyModel(`${family}-tied`), 'config.json'));
const of = (family: string, change: Record<string, unknown>, accepted: readonly string[] = []): ModelShape =>
  configOf('config.json', { ...base(family), ...change }, accepted);
const families = ['llama', 'qwen2', 'qwen3'];

test('every key that passes whatever its value left the logits of transformers as they were, in all three families', () => {
  const inert = new Set(oracle.inert);
  assert.deepEqual(
    [...harmless].filter((key) => !inert.has(key)),
    [],
  );
  for (const key of [
    'unsloth_fixed',
    'unsloth_version',
    'unsloth_tiled_mlp',
    '_flash_attn_2_enabled',
    'use_flash_attention',
    'use_flash_attention_2',
    'use_flash_attn',
  ]) {
    assert.ok(harmlessFamilies.test(key) && inert.has(key), key);
  }
});

test('every key that code of transformers asks a configuration for is known here by name', () => {
  // Of text models: images are another kind; what is set by transformers itself and is no setting.
  const others = /^(vision_|sub_configs|base_model_\w+_plan|ignore_keys_at_rope_validation|auto_map)/;
  for (const family of families) {
    const unknown = oracle.read[family]!.filter(
      (key) =>
        !read.has(key) && !harmless.has(key) && !Object.hasOwn(fixed, key) && !absent.has(key) && !others.test(key),
    );
    assert.deepEqual(unknown, [], family);
  }
});

test('every probe that moved the logits of transformers is computed as it says, or refused', () => {
  for (const [key, values] of Object.entries(oracle.probes)) {
    if (oracle.inert.includes(key)) continue;
    for (const family of families) {
      for (const value of values) {
        let config: ModelShape | null = null;
        try {
          config = of(family, { [key]: value });
        } catch (error) {
          assert.equal((error as Error).name, 'ModelFileInvalid', key);
        }
        // What passes must be what the configuration says: an epsilon, the same activation by its other name, the width that follows.
        if (config)
          assert.ok(
            ['rms_norm_eps', 'hidden_act', 'head_dim', 'use_cache', 'original_max_position_embeddings'].includes(key),
            `${family}: ${key} = ${JSON.stringify(value)} passes`,
          );
      }
    }
  }
});

for (const name of readdirSync(path.join(fixtures, 'configs'))) {
  test(`${name}, as it was published, passes`, () => {
    const json = jsonOf(path.join(fixtures, 'configs', name));
    assert.equal(configOf(name, json).contextLength, json['max_position_embeddings']);
  });
}

test('marks of exporters pass: unsloth, TRL, LLaMA-Factory, axolotl, mergekit, transformers.js, old flash attention, notes on lengths, what says nothing', () => {
  const plain = of('llama', {});
  const marks: Record<string, unknown>[] = [
    { unsloth_fixed: true, unsloth_version: '2026.1.4' },
    { 'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16' }, dtype: 'q4' } },
    {
      _flash_attn_2_enabled: true,
      use_flash_attention: false,
      use_flash_attention_2: true,
      use_mrope: false,
      is_llama_config: true,
      rope_interleaved: false,
    },
    { max_length: 4096, temperature: 0.6, top_p: 0.9, do_sample: true, repetition_penalty: 1.05, bad_words_ids: [[5]] },
    {
      pretraining_tp: 2,
      max_sequence_length: 2048,
      model_max_length: 4096,
      tokenizer_padding_side: 'right',
      _commit_hash: 'abc',
    },
    {
      anything: false,
      something: null,
      nothing: '',
      empty: {},
      none: [],
      quantization_config: null,
      layer_norm_eps: null,
      auto_map: {},
    },
    {
      residual_multiplier: 1,
      logit_scale: 1,
      attn_logit_softcapping: null,
      sliding_window: null,
      attention_chunk_size: null,
    },
  ];
  for (const mark of marks) assert.deepEqual(of('llama', mark), plain, JSON.stringify(mark));
});

test('unknown settings are refused all at once, by name, and pass when they are accepted by name; code of its own is one', () => {
  const strange = {
    my_mark: 1,
    other_mark: ['x'],
    auto_map: { AutoModel: 'm.M' },
    rope_scaling: null,
    rope_parameters: { rope_type: 'default', rope_theta: 1e4, hf_style: 2 },
  };
  assert.throws(() => of('llama', strange), {
    name: 'ModelFileInvalid',
    message:
      /config\.json: has my_mark = 1, other_mark = \["x"\], auto_map = .* \(code of its own\), rope_parameters\.hf_style = 2, which is not known here.*LlamaForCausalLM of transformers does not read them.*--accept-setting my_mark --accept-setting other_mark --accept-setting auto_map --accept-setting rope_parameters\.hf_style, .*"acceptSettings": \["my_mark"/,
  });
  assert.throws(() => of('llama', strange, ['my_mark', 'auto_map', 'rope_parameters.hf_style']), {
    message: /has other_mark = \["x"\], which is not known/,
  });
  of('llama', strange, ['my_mark', 'other_mark', 'auto_map', 'rope_parameters.hf_style']);
  assert.throws(() => of('qwen3', { my_mark: 1, residual_multiplier: 0.2, final_logit_softcapping: 30 }), {
    message:
      /has residual_multiplier = 0\.2 \(computed is only 1\), final_logit_softcapping = 30 .*would change the numbers.*; and my_mark = 1, which is not known/,
  });
});

test('what changes the numbers cannot be accepted', () => {
  for (const change of [
    { residual_multiplier: 0.2 },
    { is_causal: false },
    { is_causal: null },
    { partial_rotary_factor: 0.5 },
    { per_layer_config: { 0: { rms_norm_eps: 1 } } },
    { hidden_act: 'gelu' },
    { transformers_weights: 'other.safetensors' },
    { num_local_experts: 4 },
  ]) {
    assert.throws(() => of('llama', change, Object.keys(change)), {
      message: new RegExp(`has ${Object.keys(change)[0]} = .*would change the numbers`),
    });
  }
});

test('quantised weights are named by their method alone, with what to use instead', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => `model.layers.${i}.mlp.gate_proj`);
  const cases: [Record<string, unknown>, RegExp][] = [
    [
      { quantization_config: { quant_method: 'awq', bits: 4, modules_to_not_convert: hundred } },
      /quantised to 4 bits by awq, which is not read\. Use the model that it was made from.*GGUF/,
    ],
    [{ quantization_config: { quant_method: 'gptq', bits: 8 } }, /to 8 bits by gptq/],
    [{ quantization_config: { quant_method: 'fp8', activation_scheme: 'dynamic' } }, /by fp8.*the same model in bf16/],
    [
      { quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } },
      /by bitsandbytes.*model\.dequantize\(\)/,
    ],
    [
      { quantization_config: { quant_method: 'compressed-tensors', ignore: hundred } },
      /by compressed-tensors.*llm-compressor/,
    ],
    [{ compression_config: { format: 'x' } }, /has compression_config: .*compressed-tensors/],
    [
      { quantization: { group_size: 64, bits: 4 }, quantization_config: { group_size: 64, bits: 4 } },
      /to 4 bits by MLX.*mlx_lm\.convert --dequantize/,
    ],
    [{ quantization: { group_size: 64, bits: 8 } }, /has quantization: .*by MLX/],
    [{ quantization_config: { bits: 4 } }, /a method that it does not name/],
  ];
  for (const [change, message] of cases) {
    assert.throws(
      () => of('qwen2', change, Object.keys(change)),
      (error: Error) => error.name === 'ModelFileInvalid' && message.test(error.message) && error.message.length < 400,
    );
  }
});

test('YaRN: context, attn_factor, the original length beside the object, and fields that are no numbers', () => {
  const yarn = (change: Record<string, unknown>, beside: Record<string, unknown> = {}) =>
    of('qwen3', {
      max_position_embeddings: 64,
      rope_parameters: {
        rope_type: 'yarn',
        rope_theta: 1e4,
        factor: 4,
        original_max_position_embeddings: 64,
        ...change,
      },
      ...beside,
    });
  assert.equal(yarn({}).contextLength, 256); // 4 x 64, as vLLM derives it
  assert.equal(yarn({}, { max_position_embeddings: 1000 }).contextLength, 1000);
  assert.throws(() => yarn({ attn_factor: 0.8782 }), {
    message: /rope_parameters\.attn_factor is 0\.8782.*Frameworks disagree.*attention_factor, which is read here/,
  });
  assert.deepEqual(yarn({ attn_factor: 1, finetuned: true, mscale: null, truncate: null }), yarn({}));
  assert.deepEqual(yarn({}, { original_max_position_embeddings: 64 }), yarn({}));
  assert.deepEqual(
    yarn({ original_max_position_embeddings: null }, { original_max_position_embeddings: 64 }),
    yarn({}),
  );
  assert.throws(() => yarn({}, { original_max_position_embeddings: 32 }), {
    message: /original_max_position_embeddings 32 and rope_parameters\.original_max_position_embeddings 64.*disagree/,
  });
  for (const [key, value] of [
    ['factor', '4'],
    ['factor', -1],
    ['factor', null],
    ['mscale', '0.7'],
    ['beta_fast', [32]],
    ['attention_factor', true],
    ['truncate', 'no'],
    ['rope_theta', 'ten'],
  ] as const) {
    assert.throws(() => yarn({ [key]: value }), {
      name: 'ModelFileInvalid',
      message: new RegExp(`rope_parameters\\.${key} is `),
    });
  }
  for (const value of ['yarn', [1], 5])
    assert.throws(() => of('llama', { rope_parameters: null, rope_scaling: value }), {
      message: /rope_scaling is .*expected an object/,
    });
  assert.throws(() => of('llama', { rope_scaling: { rope_type: 'linear', factor: 2 } }), {
    message: /both rope_parameters and rope_scaling, which differ/,
  });
  const both = { rope_type: 'linear', rope_theta: 1e4, factor: 2 };
  assert.deepEqual(of('llama', { rope_scaling: both, rope_parameters: both }).ropeScaling, {
    type: 'linear',
    factor: 2,
  });
});

test('windows: none in effect passes, one in effect is refused', () => {
  const none = { use_sliding_window: true, sliding_window: 16, layer_types: null };
  assert.deepEqual(of('qwen2', { ...none, max_window_layers: 2 }), of('qwen2', {})); // of 2 layers
  assert.deepEqual(of('qwen3', { ...none, max_window_layers: 0, sliding_window: null }), of('qwen3', {}));
  assert.deepEqual(of('qwen2', { ...none, max_window_layers: 0, sliding_window: 256 }), of('qwen2', {})); // the whole context
  assert.deepEqual(
    of('qwen2', { ...none, max_window_layers: 0, layer_types: ['full_attention', 'full_attention'] }),
    of('qwen2', {}),
  );
  assert.throws(() => of('qwen2', { ...none, max_window_layers: 1 }), {
    message: /use_sliding_window = true from layer 1 of 2 on/,
  });
  const { sliding_window: _, ...silent } = { ...base('qwen2'), ...none, max_window_layers: 0 };
  assert.throws(() => configOf('config.json', silent), { message: /use_sliding_window = true.*sliding_window = 4096/ });
  assert.throws(() => of('llama', { sliding_window: 16 }), { message: /sliding_window = 16; only full/ });
  assert.throws(() => of('qwen2', { layer_types: ['full_attention'] }), {
    message: /layer_types is .*one entry for each of 2 layers/,
  });
});

test('numbers that are none, or whole ones that are not, are refused by their field', () => {
  const bad: [string, unknown][] = [
    ['hidden_size', '32'],
    ['num_hidden_layers', 2.5],
    ['num_attention_heads', 0],
    ['vocab_size', null],
    ['rms_norm_eps', '1e-6'],
    ['rms_norm_eps', -1],
    ['max_position_embeddings', Infinity],
    ['intermediate_size', [64]],
    ['num_key_value_heads', true],
    ['tie_word_embeddings', 'true'],
    ['attention_bias', 1],
    ['mlp_bias', 'no'],
    ['sliding_window', 'all'],
  ];
  for (const [key, value] of bad)
    assert.throws(
      () => of('llama', { [key]: value }),
      { name: 'ModelFileInvalid', message: new RegExp(`${key} is .*expected`) },
      key,
    );
});
