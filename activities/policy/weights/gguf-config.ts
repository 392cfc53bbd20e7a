import { stretchedContext, type ModelShape, type ModuleName, type RopeScaling } from '../model-config.js';
import { ModelFileInvalid } from './model-file-error.js';

const DENSE = 'Use a Llama, Qwen2, Qwen2.5 or Qwen3 dense model with full attention';
const REMEDY = 'Convert the model again with llama.cpp, or use another file of it';

/** What each architecture has that its metadata does not say. */
export const architectures: Readonly<
  Record<string, { biases: readonly ModuleName[]; queryKeyNorm: boolean; interleaved: boolean }>
> = {
  llama: { biases: [], queryKeyNorm: false, interleaved: true },
  qwen2: {
    biases: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
    queryKeyNorm: false,
    interleaved: false,
  },
  qwen3: { biases: [], queryKeyNorm: true, interleaved: false },
};

/**
 * A GGUF file's metadata as a ModelConfig. Anything that would change the numbers and is not computed here is refused by its name.
 * @throws {ModelFileInvalid}
 */
export function configOf(
  file: string,
  metadata: Readonly<Record<string, unknown>>,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): ModelShape {
  const architecture = metadata['general.architecture'];
  if (typeof architecture !== 'string' || !Object.hasOwn(architectures, architecture)) {
    throw new ModelFileInvalid(
      file,
      `has architecture ${JSON.stringify(architecture)}, known are ${Object.keys(architectures).join(', ')}`,
      DENSE,
    );
  }
  const refuse = (problem: string, remedy = DENSE): never => {
    throw new ModelFileInvalid(file, problem, remedy);
  };
  if (metadata['general.type'] === 'adapter')
    refuse('is an adapter, not a model', 'Name the model that it belongs to; adapters are read as PEFT directories');
  const number: NumberOf = (key, otherwise) => {
    const value = metadata[`${architecture}.${key}`] ?? otherwise;
    if (value === undefined) return refuse(`lacks ${architecture}.${key}`, REMEDY);
    if (Array.isArray(value))
      return refuse(
        `has ${architecture}.${key} layer by layer (${value.slice(0, 4).join(', ')}, ...); one number for all layers is computed`,
      );
    if (!['number', 'bigint', 'boolean'].includes(typeof value) || !Number.isFinite(Number(value)))
      return refuse(`has ${architecture}.${key} = ${shown(value)}, expected a number`, REMEDY);
    return Number(value);
  };
  const positive: NumberOf = (key, otherwise) => {
    const value = number(key, otherwise);
    return value > 0 ? value : refuse(`has ${architecture}.${key} = ${value}, expected a number above 0`, REMEDY);
  };
  const whole = (key: string, otherwise?: number): number => {
    const value = number(key, otherwise);
    return Number.isSafeInteger(value) && value > 0
      ? value
      : refuse(`has ${architecture}.${key} = ${value}, expected a whole number from 1`, REMEDY);
  };
  const hidden = whole('embedding_length');
  const heads = whole('attention.head_count');
  const keyValueHeads = whole('attention.head_count_kv', heads);
  const headDimension = whole('attention.key_length', number('rope.dimension_count', hidden / heads));
  if (heads % keyValueHeads !== 0)
    refuse(`has ${heads} heads, no multiple of its ${keyValueHeads} key and value heads`, REMEDY);
  for (const key of ['rope.dimension_count', 'attention.value_length']) {
    if (number(key, headDimension) !== headDimension)
      refuse(
        `has ${architecture}.${key} ${number(key)}, but heads of ${headDimension}: not computed`,
        'Use a model whose heads are rotated whole',
      );
  }
  for (const key of zero)
    if (number(key, 0) !== 0)
      refuse(`has ${architecture}.${key} = ${number(key)}, which would change the numbers and is not computed`);
  if (number('attention.causal', 1) !== 1)
    refuse(`has ${architecture}.attention.causal = false: it reads text in both directions`);
  const { biases, queryKeyNorm } = architectures[architecture]!;
  const vocabulary = tensors.get('token_embd.weight')?.shape[0];
  if (vocabulary === undefined) return refuse('lacks tensor token_embd.weight', REMEDY);
  const stated = whole('context_length');
  const ropeScaling = ropeScalingOf(architecture, metadata, stated, number, refuse);
  if (ropeScaling !== null && tensors.has(DIVISORS)) {
    refuse(
      `has RoPE scaling ${ropeScaling.type} and tensor ${DIVISORS} besides; only one of them is computed`,
      'Convert the model again, or use its Hugging Face directory',
    );
  }
  return {
    layers: whole('block_count'),
    hidden,
    heads,
    keyValueHeads,
    headDimension,
    feedForward: whole('feed_forward_length'),
    vocabulary,
    contextLength: stretchedContext(stated, ropeScaling),
    ropeBase: positive('rope.freq_base', 10_000),
    ropeScaling,
    normEpsilon: positive('attention.layer_norm_rms_epsilon'),
    tiedEmbeddings: !tensors.has('output.weight'),
    biases,
    queryKeyNorm,
  };
}

type NumberOf = (key: string, otherwise?: number) => number;
const shown = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value) : String(value));

/** llama3 scaling, as one divisor per rotary plane. */
export const DIVISORS = 'rope_freqs.weight';

/** Would change the numbers if they were anything else. */
const zero = [
  'expert_count',
  'attention.sliding_window',
  'attention.clamp_kqv',
  'attention.max_alibi_bias',
  'logit_scale',
  'attention.scale',
  'residual_scale',
  'embedding_scale',
  'attn_logit_softcapping',
  'final_logit_softcapping',
  'attention.temperature_scale',
];
/** What llama.cpp has multiplied in where a file says nothing of it. */
const neutral: Readonly<Record<string, number>> = {
  attn_factor: 1,
  yarn_attn_factor: 1,
  yarn_ext_factor: 1,
  yarn_beta_fast: 32,
  yarn_beta_slow: 1,
};

function ropeScalingOf(
  architecture: string,
  metadata: Readonly<Record<string, unknown>>,
  context: number,
  number: NumberOf,
  refuse: (problem: string, remedy: string) => never,
): RopeScaling | null {
  const prefix = `${architecture}.rope.scaling.`;
  // Without a type llama.cpp reads a factor as that of linear scaling.
  const type = metadata[`${prefix}type`] ?? (`${prefix}factor` in metadata ? 'linear' : 'none');
  for (const key of Object.keys(metadata).filter((name) => name.startsWith(prefix))) {
    const name = key.slice(prefix.length);
    if (
      ['type', 'factor', 'original_context_length', 'finetuned'].includes(name) ||
      (name in neutral && Math.abs(number(`rope.scaling.${name}`) - neutral[name]!) < 1e-6)
    )
      continue;
    const remedy = name.endsWith('attn_factor')
      ? 'Frameworks disagree on it: llama.cpp and vLLM multiply attention by it, transformers does not read it. ' +
        'Use the Hugging Face directory, with "attention_factor" in rope_scaling of its config.json, which is read'
      : 'Use a model with RoPE scaling none, linear or yarn';
    refuse(`has ${key} = ${shown(metadata[key])}, which would change the numbers and is not computed`, remedy);
  }
  if (`${architecture}.rope.scale_linear` in metadata)
    refuse(
      `has ${architecture}.rope.scale_linear, which would change the numbers and is not computed`,
      'Convert the model again: rope.scaling.type linear is read',
    );
  if (type === 'none') return null;
  if (type !== 'linear' && type !== 'yarn')
    return refuse(
      `has RoPE scaling ${shown(type)}, which would change the numbers and is not computed`,
      'Use a model with RoPE scaling none, linear or yarn',
    );
  const factor = number('rope.scaling.factor');
  if (!(factor > 0)) refuse(`has ${prefix}factor = ${factor}, expected a number above 0`, REMEDY);
  if (type === 'linear') return factor === 1 ? null : { type, factor };
  return {
    type: 'yarn',
    factor,
    originalContextLength: number('rope.scaling.original_context_length', context),
    betaFast: 32,
    betaSlow: 1,
    truncate: true,
    attentionFactor: factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1,
  };
}
