import { open, stat } from 'node:fs/promises';
import { gguf } from '@huggingface/gguf';
import { moduleNames, moduleShape, type ModelConfig, type ModuleName, type RopeScaling } from '../model-config.js';
import { ModelFileInvalid } from './model-file-error.js';
import { ggmlFormats } from './quantized.js';
import { readBytes } from './safetensors-file.js';
import type { NormName, WeightReader } from './weight-reader.js';

const REMEDY = 'Run `npm run setup` again, or put a whole copy of the file there';

export interface GgufHeader {
  readonly file: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly type: number; readonly at: number }>;
}

/**
 * Header of a GGUF file of one of the architectures below.
 * @throws {ModelFileInvalid} if the file is missing, no GGUF, cut short, or of another architecture
 */
export async function readGgufHeader(file: string): Promise<GgufHeader> {
  const size = await stat(file).then(
    (s) => s.size,
    () => {
      throw new ModelFileInvalid(file, 'does not exist', REMEDY);
    },
  );
  const header = await gguf(file, { allowLocalFile: true }).catch((cause: unknown) => {
    throw new ModelFileInvalid(file, `is not a readable GGUF file (${cause instanceof Error ? cause.message : String(cause)})`, REMEDY);
  });
  const metadata = header.metadata as unknown as Record<string, unknown>;
  // Past its end the reader finds zeros, which look like a header too.
  if (Number(header.tensorDataOffset) > size) {
    throw new ModelFileInvalid(file, `has a header that ends at byte ${header.tensorDataOffset}, and ends itself at ${size}: it is cut short`, REMEDY);
  }
  const tensors = new Map<string, { shape: number[]; type: number; at: number }>();
  for (const tensor of header.tensorInfos) {
    const at = Number(header.tensorDataOffset) + Number(tensor.offset);
    const shape = tensor.shape.map(Number).reverse(); // GGUF lists the fastest axis first
    tensors.set(tensor.name, { shape, type: tensor.dtype, at });
    const end = at + storedBytes(file, tensor.name, shape, tensor.dtype);
    if (end > size) {
      throw new ModelFileInvalid(file, `tensor ${tensor.name} ends at byte ${end}, the file at ${size}: it is cut short`, REMEDY);
    }
  }
  return { file, metadata, config: configOf(file, metadata, tensors), tensors };
}

function storedBytes(file: string, name: string, shape: readonly number[], type: number): number {
  const format = ggmlFormats.get(type);
  if (!format) {
    const known = [...ggmlFormats.values()].map((f) => f.name).join(', ');
    throw new ModelFileInvalid(file, `tensor ${name} has GGML type ${type}, known are ${known}`, 'Use a file quantised in one of these');
  }
  const weights = shape.reduce((a, b) => a * b, 1);
  if (shape.at(-1)! % format.blockWeights !== 0) {
    throw new ModelFileInvalid(file, `tensor ${name} has rows of ${shape.at(-1)} weights, no multiple of the ${format.blockWeights} of a ${format.name} block`, REMEDY);
  }
  return (weights / format.blockWeights) * format.blockBytes;
}

/** What each architecture has that its metadata does not say. */
const architectures: Readonly<Record<string, { biases: readonly ModuleName[]; queryKeyNorm: boolean; interleaved: boolean }>> = {
  llama: { biases: [], queryKeyNorm: false, interleaved: true },
  qwen2: { biases: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'], queryKeyNorm: false, interleaved: false },
  qwen3: { biases: [], queryKeyNorm: true, interleaved: false },
};

function configOf(file: string, metadata: Record<string, unknown>, tensors: GgufHeader['tensors']): ModelConfig {
  const architecture = metadata['general.architecture'];
  if (typeof architecture !== 'string' || !Object.hasOwn(architectures, architecture)) {
    throw new ModelFileInvalid(file, `has architecture ${JSON.stringify(architecture)}, known are ${Object.keys(architectures).join(', ')}`, 'Use a Llama, Qwen2, Qwen2.5 or Qwen3 dense model');
  }
  const number = (key: string, otherwise?: number): number => {
    const value = metadata[`${architecture}.${key}`] ?? otherwise;
    if (typeof value !== 'number' && typeof value !== 'bigint') throw new ModelFileInvalid(file, `lacks ${architecture}.${key}`, REMEDY);
    return Number(value);
  };
  const hidden = number('embedding_length');
  const heads = number('attention.head_count');
  const headDimension = number('attention.key_length', number('rope.dimension_count', hidden / heads));
  for (const key of ['rope.dimension_count', 'attention.value_length']) {
    if (number(key, headDimension) !== headDimension) {
      throw new ModelFileInvalid(file, `has ${architecture}.${key} ${number(key)}, but heads of ${headDimension}: not computed`, 'Use a model whose heads are rotated whole');
    }
  }
  for (const key of ['expert_count', 'attention.sliding_window', 'attention.clamp_kqv', 'attention.max_alibi_bias', 'logit_scale', 'attention.scale', 'residual_scale', 'embedding_scale']) {
    if (number(key, 0) !== 0) throw new ModelFileInvalid(file, `has ${architecture}.${key} = ${number(key)}, which would change the numbers and is not computed`, 'Use a dense model with full attention');
  }
  const { biases, queryKeyNorm } = architectures[architecture]!;
  const vocabulary = tensors.get('token_embd.weight')?.shape[0];
  if (vocabulary === undefined) throw new ModelFileInvalid(file, 'lacks tensor token_embd.weight', REMEDY);
  return {
    layers: number('block_count'),
    hidden,
    heads,
    keyValueHeads: number('attention.head_count_kv', heads),
    headDimension,
    feedForward: number('feed_forward_length'),
    vocabulary,
    contextLength: number('context_length'),
    ropeBase: number('rope.freq_base', 10_000),
    ropeScaling: ropeScalingOf(file, architecture, metadata, number),
    normEpsilon: number('attention.layer_norm_rms_epsilon'),
    tiedEmbeddings: !tensors.has('output.weight'),
    biases,
    queryKeyNorm,
  };
}

function ropeScalingOf(file: string, architecture: string, metadata: Record<string, unknown>, number: (key: string, otherwise?: number) => number): RopeScaling | null {
  const prefix = `${architecture}.rope.scaling.`;
  const read = new Set(['type', 'factor', 'original_context_length', 'finetuned'].map((key) => prefix + key));
  const unread = Object.keys(metadata).find((key) => key.startsWith(prefix) && !read.has(key));
  const type = metadata[`${prefix}type`] ?? 'none';
  if (unread !== undefined || `${architecture}.rope.scale_linear` in metadata || !['none', 'linear', 'yarn'].includes(String(type))) {
    throw new ModelFileInvalid(file, `has ${unread ?? `RoPE scaling ${JSON.stringify(type)}`}, which would change the numbers and is not computed`, 'Use a model with RoPE scaling none, linear or yarn');
  }
  if (type === 'none') return null;
  const factor = number('rope.scaling.factor');
  if (type === 'linear') return { type, factor };
  return {
    type: 'yarn',
    factor,
    originalContextLength: number('rope.scaling.original_context_length'),
    betaFast: 32,
    betaSlow: 1,
    truncate: true,
    attentionFactor: factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1,
  };
}

const ggufModule: Readonly<Record<ModuleName, string>> = {
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

/** Reads tensors one by one, widened to fp32. @throws {ModelFileInvalid} on a wrong shape or a value that is not finite */
export async function openGguf(file: string): Promise<WeightReader> {
  const { config: stated, tensors, metadata } = await readGgufHeader(file);
  refuseUnknown(file, stated, tensors);
  const { interleaved } = architectures[metadata['general.architecture'] as string]!;
  const handle = await open(file);
  const read = async (name: string, shape: readonly number[]): Promise<Float32Array> => {
    const tensor = tensors.get(name);
    if (!tensor) throw new ModelFileInvalid(file, `lacks tensor ${name}`, REMEDY);
    if (tensor.shape.join() !== shape.join()) {
      throw new ModelFileInvalid(file, `tensor ${name} has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}]`, REMEDY);
    }
    const bytes = await readBytes(file, handle, tensor.at, storedBytes(file, name, shape, tensor.type));
    const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
    ggmlFormats.get(tensor.type)!.widen(new DataView(bytes.buffer), out);
    for (let i = 0; i < out.length; i++) {
      if (!Number.isFinite(out[i])) throw new ModelFileInvalid(file, `tensor ${name} holds ${out[i]} at index ${i}`, REMEDY);
    }
    return out;
  };
  try {
    const config = tensors.has(DIVISORS)
      ? { ...stated, ropeScaling: { type: 'divisors' as const, divisors: [...(await read(DIVISORS, [stated.headDimension / 2]))] } }
      : stated;
    const { vocabulary, hidden, headDimension } = config;
    const rotary = (module: ModuleName): boolean => interleaved && (module === 'self_attn.q_proj' || module === 'self_attn.k_proj');
    return {
      config,
      embedding: () => read('token_embd.weight', [vocabulary, hidden]),
      head: () => read('output.weight', [vocabulary, hidden]),
      finalNorm: () => read('output_norm.weight', [hidden]),
      norm: (layer, which) => read(`blk.${layer}.${ggufNorm[which]}.weight`, [which === 'query' || which === 'key' ? headDimension : hidden]),
      async module(layer, module) {
        const weight = await read(`blk.${layer}.${ggufModule[module]}.weight`, moduleShape(config, module));
        return rotary(module) ? separateRotaryHalves(weight, headDimension, hidden) : weight;
      },
      async bias(layer, module) {
        const bias = await read(`blk.${layer}.${ggufModule[module]}.bias`, [moduleShape(config, module)[0]]);
        return rotary(module) ? separateRotaryHalves(bias, headDimension, 1) : bias;
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** llama3 scaling, as one divisor per rotary plane. */
const DIVISORS = 'rope_freqs.weight';

const ggufNorm: Readonly<Record<NormName, string>> = { attention: 'attn_norm', mlp: 'ffn_norm', query: 'attn_q_norm', key: 'attn_k_norm' };

/** A tensor that we would not read is a part of the model that we would not compute. */
function refuseUnknown(file: string, config: ModelConfig, tensors: GgufHeader['tensors']): void {
  const known = new Set(['token_embd.weight', 'output.weight', 'output_norm.weight', DIVISORS]);
  for (let layer = 0; layer < config.layers; layer++) {
    for (const module of moduleNames) {
      known.add(`blk.${layer}.${ggufModule[module]}.weight`);
      if (config.biases.includes(module)) known.add(`blk.${layer}.${ggufModule[module]}.bias`);
    }
    for (const which of config.queryKeyNorm ? (['attention', 'mlp', 'query', 'key'] as const) : (['attention', 'mlp'] as const)) known.add(`blk.${layer}.${ggufNorm[which]}.weight`);
  }
  const unknown = [...tensors.keys()].find((name) => !known.has(name));
  if (unknown !== undefined) throw new ModelFileInvalid(file, `has tensor ${unknown}, which a model of its architecture and ${config.layers} layers does not have here`, 'Use a Llama, Qwen2, Qwen2.5 or Qwen3 dense model');
}

/** GGUF interleaves the rows of a head's two rotary halves for the Llama architecture; this undoes it. */
function separateRotaryHalves(weight: Float32Array, headDimension: number, width: number): Float32Array {
  const out = new Float32Array(weight.length);
  const half = headDimension / 2;
  for (let row = 0; row * width < weight.length; row++) {
    const head = Math.floor(row / headDimension);
    const within = row % headDimension;
    const target = head * headDimension + (within % 2) * half + Math.floor(within / 2);
    out.set(weight.subarray(row * width, (row + 1) * width), target * width);
  }
  return out;
}
