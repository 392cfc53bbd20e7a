import { stretchedContext, type ModelShape, type ModuleName } from '../model-config.js';
import { absent, families, fixed, harmless, harmlessFamilies, isNothing, read } from './config-keys.js';
import { ropeOf, type Refuse } from './hugging-face-rope.js';
import { ModelFileInvalid } from './model-file-error.js';
import { quantizationOf } from './quantized-config.js';

type Json = Record<string, unknown>;

/** Names of settings that a person answers for; `any` where the model was checked before. */
export type AcceptedSettings = readonly string[] | 'any';

/** Of Qwen2 and Qwen3 where config.json is silent. */
const MAX_WINDOW_LAYERS = 28;
const SUPPORTED = 'Use a Llama, Qwen2, Qwen2.5 or Qwen3 dense model as transformers saves it';

/**
 * config.json as a ModelConfig. Anything that would change the numbers and is not computed here is refused by its name, and so is
 * every setting that is not known and not accepted; all of them at once.
 *
 * @param accepted  unknown settings that do not change the numbers; those that are known to do are refused all the same
 * @throws {ModelFileInvalid}
 */
export function configOf(file: string, json: Json, accepted: AcceptedSettings = []): ModelShape {
  const refuse: Refuse = (problem, remedy = SUPPORTED) => {
    throw new ModelFileInvalid(file, problem, remedy);
  };
  const type = json['model_type'];
  if (typeof type !== 'string' || !Object.hasOwn(families, type))
    return refuse(`has model_type ${JSON.stringify(type)}, known are ${Object.keys(families).join(', ')}`);
  const { architecture, defaults } = families[type]!;
  const architectures = json['architectures'];
  if (
    architectures !== undefined &&
    architectures !== null &&
    (!Array.isArray(architectures) || architectures.join() !== architecture)
  ) {
    refuse(`has architectures ${JSON.stringify(architectures)}, expected ["${architecture}"]`);
  }
  const quantized = quantizationOf(json);
  if (quantized) refuse(quantized.problem, quantized.remedy);

  const number = (key: string, otherwise?: number): number => {
    const value = json[key] ?? defaults[key] ?? otherwise;
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value))
      return refuse(`${key} is ${JSON.stringify(value)}, expected a positive number`);
    return value;
  };
  const whole = (key: string, otherwise?: number): number => {
    const value = number(key, otherwise);
    return Number.isSafeInteger(value) ? value : refuse(`${key} is ${value}, expected a whole number`);
  };
  const yesNo = (key: string): boolean => {
    const value = json[key] ?? false;
    return typeof value === 'boolean' ? value : refuse(`${key} is ${JSON.stringify(value)}, expected true or false`);
  };
  const stated = whole('max_position_embeddings');
  const { unknown, ...rope } = ropeOf(json, stated, refuse);
  refuseStrange(json, unknown, accepted, architecture, refuse);

  const layers = whole('num_hidden_layers');
  const contextLength = stretchedContext(stated, rope.ropeScaling);
  refuseWindows(json, layers, contextLength, refuse);
  const mlpBias = yesNo('mlp_bias');
  if (type !== 'llama' && mlpBias) refuse('has mlp_bias, which this architecture does not have');
  const hidden = whole('hidden_size');
  const heads = whole('num_attention_heads');
  const keyValueHeads = whole('num_key_value_heads', heads);
  const headDimension = whole('head_dim', hidden / heads);
  if (heads % keyValueHeads !== 0)
    refuse(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${keyValueHeads}`);
  if (headDimension % 2 !== 0) refuse(`head_dim ${headDimension} is odd`);
  const attention: ModuleName[] = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'];
  // Qwen2 has its biases whatever attention_bias says.
  const bias =
    type === 'qwen2' ? attention : yesNo('attention_bias') ? [...attention, 'self_attn.o_proj' as const] : [];
  return {
    layers,
    hidden,
    heads,
    keyValueHeads,
    headDimension,
    feedForward: whole('intermediate_size'),
    vocabulary: whole('vocab_size'),
    contextLength,
    ...rope,
    normEpsilon: number('rms_norm_eps'),
    tiedEmbeddings: yesNo('tie_word_embeddings'),
    biases: mlpBias ? [...bias, 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'] : bias,
    queryKeyNorm: type === 'qwen3',
  };
}

/** All at once: what would change the numbers, and what is not known. */
function refuseStrange(
  json: Json,
  unknownOfRope: Json,
  accepted: AcceptedSettings,
  architecture: string,
  refuse: Refuse,
): void {
  const wrong: string[] = [];
  const unknown: string[] = [];
  for (const [key, value] of [...Object.entries(json), ...Object.entries(unknownOfRope)]) {
    const shown = `${key} = ${brief(value)}`;
    if (Object.hasOwn(fixed, key)) {
      if (!fixed[key]!.includes(value)) wrong.push(`${shown} (computed is only ${JSON.stringify(fixed[key]![0])})`);
    } else if (absent.has(key)) {
      if (!isNothing(value)) wrong.push(shown);
    } else if (
      !(
        read.has(key) ||
        harmless.has(key) ||
        harmlessFamilies.test(key) ||
        isNothing(value) ||
        accepted === 'any' ||
        accepted.includes(key)
      )
    ) {
      unknown.push(key === 'auto_map' ? `${shown} (code of its own)` : shown);
    }
  }
  const problems = [
    ...(wrong.length > 0 ? [`${wrong.join(', ')}, which would change the numbers and is not computed`] : []),
    ...(unknown.length > 0 ? [`${unknown.join(', ')}, which is not known here and might change the numbers`] : []),
  ];
  if (problems.length === 0) return;
  if (wrong.length > 0) refuse(`has ${problems.join('; and ')}`);
  const names = unknown.map((entry) => entry.slice(0, entry.indexOf(' = ')));
  refuse(
    `has ${problems[0]}`,
    `${architecture} of transformers does not read ${names.length === 1 ? 'it' : 'them'}. If the model was trained without, accept by name: ` +
      `${names.map((name) => `--accept-setting ${name}`).join(' ')}, or in a run's settings "model": {"acceptSettings": ${JSON.stringify(names)}}`,
  );
}

const brief = (value: unknown): string => {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
};

/** Layers that see only a window of the text are not computed; a window that no layer uses, or that holds the whole context, is none. */
function refuseWindows(json: Json, layers: number, contextLength: number, refuse: Refuse): void {
  const types = json['layer_types'] ?? null;
  if (types !== null && (!Array.isArray(types) || types.length !== layers))
    refuse(`layer_types is ${brief(types)}, expected one entry for each of ${layers} layers`);
  const strange = Array.isArray(types) ? [...new Set(types.filter((layer) => layer !== 'full_attention'))] : [];
  if (strange.length > 0) refuse(`has layer_types ${JSON.stringify(strange)}; only full_attention is computed`);
  const window = json['sliding_window'] ?? null;
  if (window !== null && typeof window !== 'number')
    refuse(`sliding_window is ${brief(window)}, expected a number of tokens or null`);
  const slides = window !== null && window < contextLength;
  // Llama has no switch: in transformers its cache drops what lies outside the window.
  if (json['model_type'] === 'llama' && slides)
    refuse(`has sliding_window = ${window}; only full attention is computed`);
  if (json['model_type'] === 'llama' || isNothing(json['use_sliding_window'] ?? null)) return;
  if (json['use_sliding_window'] !== true)
    refuse(`use_sliding_window is ${brief(json['use_sliding_window'])}, expected true or false`);
  // The class takes 4096 where config.json has no window at all.
  const isNone = 'sliding_window' in json && !slides;
  const from = json['max_window_layers'] ?? MAX_WINDOW_LAYERS;
  if (typeof from !== 'number') refuse(`max_window_layers is ${brief(from)}, expected a number of layers`);
  if (types !== null || isNone || from >= layers) return;
  refuse(
    `has use_sliding_window = true from layer ${from} of ${layers} on (max_window_layers), ` +
      `with sliding_window = ${window ?? 4096}; only full attention is computed`,
  );
}
