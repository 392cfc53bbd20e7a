import { copyFile, mkdir, open, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { readTextFile } from '../../text-file.js';
import { moduleNames, type ModelShape, type ModuleName, type RopeScaling } from '../model-config.js';
import { modelFilesOf, WEIGHTS_FILE, WEIGHTS_INDEX } from '../model-files.js';
import { loadTextCodec, tokenizerOfGguf } from '../text-codec.js';
import type { LoraConfig } from '../../../schemas/train-config.js';
import { tensorShapes } from './hugging-face.js';
import { ModelFileInvalid } from './model-file-error.js';
import { openModel } from './open-model.js';
import type { NamedTensor } from './safetensors.js';
import type { WeightReader } from './weight-reader.js';

/** What the written model is: the file's weights with an adapter merged in, or other weights by name. */
export type WeightsToWrite =
  | { readonly lora: LoraConfig; readonly tensors: readonly NamedTensor[] }
  | { readonly weights: (name: string) => Promise<Float32Array> };

/** Bytes of a shard at most, as transformers cuts them. */
const SHARD_BYTES = 5e9;

/**
 * Writes the model with an adapter merged in, W + (alpha / rank) B A, or with other weights, as the Hugging Face directory
 * that transformers loads: fp32, tensor by tensor, sharded from 5 GB on.
 *
 * @param model  a GGUF file or a Hugging Face directory; it is only read
 * @returns      names of the files written
 */
export async function writeMergedModel(
  model: string,
  theta: WeightsToWrite,
  directory: string,
  onProgress: (done: number, of: number) => void = () => undefined,
  shardBytes = SHARD_BYTES,
): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  // Whoever trained on the model had it checked.
  const reader = await openModel(model, 'any');
  try {
    const written = await writeSettings(model, reader.config, directory);
    const adapter = new Map('tensors' in theta ? theta.tensors.map((tensor) => [tensor.name, tensor.values]) : []);
    const shapes = [...tensorShapes(reader.config)];
    const shards: (typeof shapes)[] = [];
    let room = 0;
    for (const entry of shapes) {
      const bytes = bytesOf(entry[1]);
      if (shards.length === 0 || bytes > room) {
        shards.push([]);
        room = shardBytes;
      }
      shards.at(-1)!.push(entry);
      room -= bytes;
    }
    const nameOf = (shard: number): string =>
      shards.length === 1
        ? WEIGHTS_FILE
        : `model-${String(shard + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`;
    let done = 0;
    for (const [shard, entries] of shards.entries()) {
      await writeShard(path.join(directory, nameOf(shard)), entries, async (name) => {
        const values =
          'weights' in theta ? await theta.weights(name) : await mergedTensor(reader, name, adapter, theta.lora);
        onProgress(++done, shapes.length);
        return values;
      });
      written.push(nameOf(shard));
    }
    if (shards.length > 1) {
      const map = Object.fromEntries(
        shards.flatMap((entries, shard) => entries.map(([name]) => [name, nameOf(shard)])),
      );
      const total = shapes.reduce((sum, [, shape]) => sum + bytesOf(shape), 0);
      await writeFile(
        path.join(directory, WEIGHTS_INDEX),
        `${JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2)}\n`,
      );
      written.push(WEIGHTS_INDEX);
    }
    return written;
  } finally {
    await reader.close();
  }
}

const bytesOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 4);

async function writeShard(
  file: string,
  entries: readonly (readonly [string, readonly number[]])[],
  valuesOf: (name: string) => Promise<Float32Array>,
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const [name, shape] of entries)
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, (offset += bytesOf(shape))] };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const lead = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(lead.buffer).setBigUint64(0, BigInt(lead.length - 8), true);
  lead.set(json, 8);
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(lead);
    for (const [name] of entries) {
      const values = await valuesOf(name);
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      for (let at = 0; at < bytes.length; at += 2 ** 30) await handle.writeFile(bytes.subarray(at, at + 2 ** 30));
    }
  } finally {
    await handle.close();
  }
}

async function mergedTensor(
  reader: WeightReader,
  name: string,
  adapter: ReadonlyMap<string, Float32Array>,
  lora: LoraConfig,
): Promise<Float32Array> {
  if (name === 'model.embed_tokens.weight') return reader.embedding();
  if (name === 'lm_head.weight') return reader.head();
  if (name === 'model.norm.weight') return reader.finalNorm();
  const [, at, rest] = /^model\.layers\.(\d+)\.(.+)$/.exec(name)!;
  const layer = Number(at);
  const part = rest!.replace(/\.(weight|bias)$/, '');
  switch (part) {
    case 'input_layernorm':
      return reader.norm(layer, 'attention');
    case 'post_attention_layernorm':
      return reader.norm(layer, 'mlp');
    case 'self_attn.q_norm':
      return reader.norm(layer, 'query');
    case 'self_attn.k_norm':
      return reader.norm(layer, 'key');
  }
  const module = moduleNames.find((known) => known === part)!;
  if (rest!.endsWith('.bias')) return reader.bias(layer, module);
  return mergedModule(await reader.module(layer, module), layer, module, adapter, lora);
}

/** W + scale B A, summed in double precision. */
function mergedModule(
  weight: Float32Array,
  layer: number,
  module: ModuleName,
  adapter: ReadonlyMap<string, Float32Array>,
  { rank, alpha }: LoraConfig,
): Float32Array {
  const [A, B] = (['A', 'B'] as const).map((which) =>
    adapter.get(`base_model.model.model.layers.${layer}.${module}.lora_${which}.weight`),
  );
  if (!A || !B) return weight;
  const [rows, columns] = [B.length / rank, A.length / rank];
  const sum = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    sum.fill(0);
    for (let r = 0; r < rank; r++) {
      const b = (B[i * rank + r]! * alpha) / rank;
      if (b !== 0) for (let j = 0; j < columns; j++) sum[j]! += b * A[r * columns + j]!;
    }
    for (let j = 0; j < columns; j++) weight[i * columns + j]! += sum[j]!;
  }
  return weight;
}

/** Everything but the weights: copied from a directory, or written from what a GGUF file says. */
async function writeSettings(model: string, config: ModelShape, directory: string): Promise<string[]> {
  const json = (name: string, value: unknown) =>
    writeFile(path.join(directory, name), `${JSON.stringify(value, null, 2)}\n`);
  if (existsSync(path.join(model, 'config.json'))) {
    const names = (await modelFilesOf(model)).filter((name) => !/\.safetensors(\.index\.json)?$/.test(name));
    for (const name of names) await copyFile(path.join(model, name), path.join(directory, name));
    const { torch_dtype: _, ...rest } = JSON.parse(await readTextFile(path.join(model, 'config.json'))) as Record<
      string,
      unknown
    >;
    await json('config.json', { ...rest, dtype: 'float32' });
    if (!existsSync(path.join(model, 'tokenizer.json'))) return names;
    // Who reads the export must stop where the model learned to: at an end that only its chat template says, too.
    const { ends, endRemark } = await loadTextCodec(model);
    if (endRemark === null) return names;
    const generation = path.join(model, 'generation_config.json');
    const settings = existsSync(generation) ? (JSON.parse(await readTextFile(generation)) as object) : {};
    await json('generation_config.json', { ...settings, eos_token_id: [...ends.keys()] });
    return [...new Set([...names, 'generation_config.json'])];
  }
  const {
    tokenizer,
    ends: { endOfTurn, ends },
    bosToken,
    chatTemplate,
  } = await tokenizerOfGguf(model);
  const eos = ends.size === 1 ? endOfTurn.id : [...ends.keys()];
  await json('config.json', { ...huggingFaceConfig(model, config), eos_token_id: eos });
  await json('generation_config.json', { eos_token_id: eos });
  await json('tokenizer.json', tokenizer);
  await json('tokenizer_config.json', {
    ...(bosToken !== '' && { bos_token: bosToken }),
    chat_template: chatTemplate,
    clean_up_tokenization_spaces: false,
    eos_token: endOfTurn.text,
    model_max_length: config.contextLength,
    tokenizer_class: 'PreTrainedTokenizerFast',
  });
  return ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'];
}

/** config.json of a model whose shape is known: the inverse of hugging-face-config.ts for what GGUF can say. */
function huggingFaceConfig(file: string, config: ModelShape): Record<string, unknown> {
  const [type, architecture] = config.queryKeyNorm
    ? ['qwen3', 'Qwen3ForCausalLM']
    : config.biases.length > 0
      ? ['qwen2', 'Qwen2ForCausalLM']
      : ['llama', 'LlamaForCausalLM'];
  return {
    architectures: [architecture],
    model_type: type,
    dtype: 'float32',
    hidden_act: 'silu',
    hidden_size: config.hidden,
    intermediate_size: config.feedForward,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    // Qwen2's width of a head follows from the others.
    ...(type === 'qwen2' ? {} : { head_dim: config.headDimension }),
    vocab_size: config.vocabulary,
    max_position_embeddings: config.contextLength,
    rms_norm_eps: config.normEpsilon,
    tie_word_embeddings: config.tiedEmbeddings,
    rope_theta: config.ropeBase,
    rope_scaling: config.ropeScaling && ropeScalingOf(file, config.ropeScaling),
  };
}

function ropeScalingOf(file: string, scaling: RopeScaling): Record<string, unknown> {
  switch (scaling.type) {
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContextLength,
      };
    default:
      throw new ModelFileInvalid(
        file,
        'has RoPE divisors, which config.json cannot say',
        'Export from the Hugging Face directory of the same model',
      );
  }
}
