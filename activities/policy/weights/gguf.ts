import { open, type FileHandle } from 'node:fs/promises';
import { moduleNames, moduleShape, type ModelShape, type ModuleName } from '../model-config.js';
import { architectures, DIVISORS } from './gguf-config.js';
import { readGgufHeader, REMEDY, storedBytes, type GgufHeader } from './gguf-header.js';
import { ModelFileInvalid } from './model-file-error.js';
import { ggmlFormats } from './quantized.js';
import { readBytes } from './safetensors-file.js';
import type { NormName, WeightReader } from './weight-reader.js';

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
  const handles = new Map<string, FileHandle>();
  const close = async (): Promise<void> =>
    void (await Promise.all([...handles.values()].map((handle) => handle.close())));
  const read = async (name: string, shape: readonly number[]): Promise<Float32Array> => {
    const tensor = tensors.get(name);
    if (!tensor) throw new ModelFileInvalid(file, `lacks tensor ${name}`, REMEDY);
    if (tensor.shape.join() !== shape.join()) {
      throw new ModelFileInvalid(
        tensor.file,
        `tensor ${name} has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}]`,
        REMEDY,
      );
    }
    const bytes = await readBytes(
      tensor.file,
      handles.get(tensor.file)!,
      tensor.at,
      storedBytes(tensor.file, name, shape, tensor.type),
    );
    const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
    ggmlFormats.get(tensor.type)!.widen(new DataView(bytes.buffer), out);
    for (let i = 0; i < out.length; i++) {
      if (!Number.isFinite(out[i]))
        throw new ModelFileInvalid(tensor.file, `tensor ${name} holds ${out[i]} at index ${i}`, REMEDY);
    }
    return out;
  };
  try {
    for (const name of new Set([...tensors.values()].map((tensor) => tensor.file))) handles.set(name, await open(name));
    const config = tensors.has(DIVISORS)
      ? {
          ...stated,
          ropeScaling: { type: 'divisors' as const, divisors: [...(await read(DIVISORS, [stated.headDimension / 2]))] },
        }
      : stated;
    const { vocabulary, hidden, headDimension } = config;
    const rotary = (module: ModuleName): boolean =>
      interleaved && (module === 'self_attn.q_proj' || module === 'self_attn.k_proj');
    return {
      config,
      embedding: () => read('token_embd.weight', [vocabulary, hidden]),
      head: () => read('output.weight', [vocabulary, hidden]),
      finalNorm: () => read('output_norm.weight', [hidden]),
      norm: (layer, which) =>
        read(`blk.${layer}.${ggufNorm[which]}.weight`, [which === 'query' || which === 'key' ? headDimension : hidden]),
      async module(layer, module) {
        const weight = await read(`blk.${layer}.${ggufModule[module]}.weight`, moduleShape(config, module));
        return rotary(module) ? separateRotaryHalves(weight, headDimension, hidden) : weight;
      },
      async bias(layer, module) {
        const bias = await read(`blk.${layer}.${ggufModule[module]}.bias`, [moduleShape(config, module)[0]]);
        return rotary(module) ? separateRotaryHalves(bias, headDimension, 1) : bias;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const ggufNorm: Readonly<Record<NormName, string>> = {
  attention: 'attn_norm',
  mlp: 'ffn_norm',
  query: 'attn_q_norm',
  key: 'attn_k_norm',
};

/** A tensor that we would not read is a part of the model that we would not compute. */
function refuseUnknown(file: string, config: ModelShape, tensors: GgufHeader['tensors']): void {
  const known = new Set(['token_embd.weight', 'output.weight', 'output_norm.weight', DIVISORS]);
  for (let layer = 0; layer < config.layers; layer++) {
    for (const module of moduleNames) {
      known.add(`blk.${layer}.${ggufModule[module]}.weight`);
      if (config.biases.includes(module)) known.add(`blk.${layer}.${ggufModule[module]}.bias`);
    }
    for (const which of config.queryKeyNorm
      ? (['attention', 'mlp', 'query', 'key'] as const)
      : (['attention', 'mlp'] as const))
      known.add(`blk.${layer}.${ggufNorm[which]}.weight`);
  }
  const unknown = [...tensors.keys()].find((name) => !known.has(name));
  if (unknown !== undefined)
    throw new ModelFileInvalid(
      file,
      `has tensor ${unknown}, which a model of its architecture and ${config.layers} layers does not have here`,
      'Use a Llama, Qwen2, Qwen2.5 or Qwen3 dense model',
    );
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
