import { open, stat } from 'node:fs/promises';
import { gguf } from '@huggingface/gguf';
import { moduleShape, type ModelConfig, type ModuleName } from '../model-config.js';
import { ModelFileInvalid } from './model-file-error.js';
import { ggmlFormats } from './quantized.js';

const REMEDY = 'Run `npm run setup` again, or put a whole copy of the file there';

export interface GgufHeader {
  readonly file: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly type: number; readonly at: number }>;
}

/**
 * Header of a GGUF file of the Llama architecture.
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
  return { file, metadata, config: configOf(file, metadata), tensors };
}

function storedBytes(file: string, name: string, shape: readonly number[], type: number): number {
  const format = ggmlFormats.get(type);
  if (!format) {
    const known = [...ggmlFormats.values()].map((f) => f.name).join(', ');
    throw new ModelFileInvalid(file, `tensor ${name} has GGML type ${type}, known are ${known}`, 'Use a file quantised in one of these');
  }
  const weights = shape.reduce((a, b) => a * b, 1);
  return (weights / format.blockWeights) * format.blockBytes;
}

function configOf(file: string, metadata: Record<string, unknown>): ModelConfig {
  const architecture = metadata['general.architecture'];
  if (architecture !== 'llama') {
    throw new ModelFileInvalid(file, `has architecture ${JSON.stringify(architecture)}, expected "llama"`, 'Use a Llama-family model');
  }
  const number = (key: string): number => {
    const value = metadata[`llama.${key}`];
    if (typeof value !== 'number' && typeof value !== 'bigint') throw new ModelFileInvalid(file, `lacks llama.${key}`, REMEDY);
    return Number(value);
  };
  for (const key of Object.keys(metadata)) {
    if (key.startsWith('llama.rope.scaling')) {
      throw new ModelFileInvalid(file, `has ${key}, which would change the numbers and is not supported`, 'Use a model without RoPE scaling');
    }
  }
  const hidden = number('embedding_length');
  const heads = number('attention.head_count');
  return {
    layers: number('block_count'),
    hidden,
    heads,
    keyValueHeads: number('attention.head_count_kv'),
    headDimension: metadata['llama.rope.dimension_count'] === undefined ? hidden / heads : number('rope.dimension_count'),
    feedForward: number('feed_forward_length'),
    vocabulary: (metadata['tokenizer.ggml.tokens'] as unknown[]).length,
    contextLength: number('context_length'),
    ropeBase: number('rope.freq_base'),
    normEpsilon: number('attention.layer_norm_rms_epsilon'),
    tiedEmbeddings: true,
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

export interface WeightReader {
  readonly config: ModelConfig;
  embedding(): Promise<Float32Array>; // (vocabulary, hidden)
  finalNorm(): Promise<Float32Array>; // (hidden)
  norm(layer: number, which: 'attention' | 'mlp'): Promise<Float32Array>; // (hidden)
  module(layer: number, module: ModuleName): Promise<Float32Array>; // (out, in), rotary halves as in Hugging Face
  close(): Promise<void>;
}

/** Reads tensors one by one, widened to fp32. @throws {ModelFileInvalid} on a wrong shape or a value that is not finite */
export async function openGguf(file: string): Promise<WeightReader> {
  const { config, tensors } = await readGgufHeader(file);
  if (tensors.has('output.weight')) {
    throw new ModelFileInvalid(file, 'has an output head of its own, expected tied embeddings', 'Use a model with tied embeddings');
  }
  const handle = await open(file);
  const read = async (name: string, shape: readonly number[]): Promise<Float32Array> => {
    const tensor = tensors.get(name);
    if (!tensor) throw new ModelFileInvalid(file, `lacks tensor ${name}`, REMEDY);
    if (tensor.shape.join() !== shape.join()) {
      throw new ModelFileInvalid(file, `tensor ${name} has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}]`, REMEDY);
    }
    const bytes = new Uint8Array(storedBytes(file, name, shape, tensor.type));
    await handle.read(bytes, 0, bytes.length, tensor.at);
    const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
    ggmlFormats.get(tensor.type)!.widen(new DataView(bytes.buffer), out);
    for (let i = 0; i < out.length; i++) {
      if (!Number.isFinite(out[i])) throw new ModelFileInvalid(file, `tensor ${name} holds ${out[i]} at index ${i}`, REMEDY);
    }
    return out;
  };
  return {
    config,
    embedding: () => read('token_embd.weight', [config.vocabulary, config.hidden]),
    finalNorm: () => read('output_norm.weight', [config.hidden]),
    norm: (layer, which) => read(`blk.${layer}.${which === 'attention' ? 'attn_norm' : 'ffn_norm'}.weight`, [config.hidden]),
    async module(layer, module) {
      const weight = await read(`blk.${layer}.${ggufModule[module]}.weight`, moduleShape(config, module));
      const rotary = module === 'self_attn.q_proj' || module === 'self_attn.k_proj';
      return rotary ? separateRotaryHalves(weight, config.headDimension, config.hidden) : weight;
    },
    close: () => handle.close(),
  };
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
