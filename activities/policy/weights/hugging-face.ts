import { existsSync } from 'node:fs';
import path from 'node:path';
import { readTextFile } from '../../text-file.js';
import { WEIGHTS_FILE, WEIGHTS_INDEX } from '../model-files.js';
import { moduleNames, moduleShape, type ModelShape, type ModuleName } from '../model-config.js';
import { configOf, type AcceptedSettings } from './hugging-face-config.js';
import { ModelFileInvalid } from './model-file-error.js';
import { SafetensorsFile } from './safetensors-file.js';
import type { NormName, WeightReader } from './weight-reader.js';

/** Names of the tensors in a file of transformers. */
export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';
export const FINAL_NORM = 'model.norm.weight';
const normNames: Readonly<Record<NormName, string>> = {
  attention: 'input_layernorm',
  mlp: 'post_attention_layernorm',
  query: 'self_attn.q_norm',
  key: 'self_attn.k_norm',
};
const inLayer = (layer: number, name: string): string => `model.layers.${layer}.${name}`;
export const normTensor = (layer: number, which: NormName): string => inLayer(layer, `${normNames[which]}.weight`);
export const moduleTensor = (layer: number, module: ModuleName, part: 'weight' | 'bias'): string =>
  inLayer(layer, `${module}.${part}`);
/** Buffers that old versions saved: functions of config.json. */
const BUFFER = /^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/;

/** Every tensor that a model of this shape has, by name, with its shape. */
export function tensorShapes(config: ModelShape): Map<string, readonly number[]> {
  const { layers, hidden, vocabulary, headDimension } = config;
  const shapes = new Map<string, readonly number[]>([[EMBEDDING, [vocabulary, hidden]]]);
  for (let layer = 0; layer < layers; layer++) {
    shapes.set(normTensor(layer, 'attention'), [hidden]);
    for (const module of moduleNames) {
      shapes.set(moduleTensor(layer, module, 'weight'), moduleShape(config, module));
      if (config.biases.includes(module))
        shapes.set(moduleTensor(layer, module, 'bias'), [moduleShape(config, module)[0]]);
    }
    if (config.queryKeyNorm)
      for (const which of ['query', 'key'] as const) shapes.set(normTensor(layer, which), [headDimension]);
    shapes.set(normTensor(layer, 'mlp'), [hidden]);
  }
  shapes.set(FINAL_NORM, [hidden]);
  if (!config.tiedEmbeddings) shapes.set(HEAD, [vocabulary, hidden]);
  return shapes;
}

/**
 * config.json of a directory, parsed.
 * @param accepted  see configOf
 * @throws {ModelFileInvalid}
 */
export async function readHuggingFaceConfig(directory: string, accepted: AcceptedSettings = []): Promise<ModelShape> {
  const file = path.join(directory, 'config.json');
  if (!existsSync(file) && existsSync(path.join(directory, 'adapter_config.json'))) {
    throw new ModelFileInvalid(
      directory,
      'is a PEFT adapter, not a model',
      'Name the model that it was trained on as the model, and this directory with --adapter',
    );
  }
  return configOf(file, await readJson(file, 'Use a directory as transformers saves it'), accepted);
}

export async function readJson(file: string, remedy: string): Promise<Record<string, unknown>> {
  const text = await readTextFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new ModelFileInvalid(
      file,
      cause.code === 'ENOENT' ? 'does not exist' : `cannot be read (${cause.message})`,
      remedy,
    );
  });
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    throw new ModelFileInvalid(file, `is no JSON (${(error as Error).message})`, remedy);
  }
  throw new ModelFileInvalid(file, 'is no JSON object', remedy);
}

/**
 * A directory with config.json and model.safetensors, whole or in shards.
 * @throws {ModelFileInvalid} on a missing shard, a tensor too many or too few, a damaged file
 */
export async function openHuggingFace(directory: string, accepted: AcceptedSettings = []): Promise<WeightReader> {
  const config = await readHuggingFaceConfig(directory, accepted);
  const shapes = tensorShapes(config);
  const files: SafetensorsFile[] = [];
  try {
    for (const name of await weightFiles(directory)) files.push(await SafetensorsFile.open(path.join(directory, name)));
    const holder = new Map<string, SafetensorsFile>();
    for (const file of files) {
      for (const name of file.names) {
        if (BUFFER.test(name)) continue;
        const twin = holder.get(name);
        if (twin)
          throw new ModelFileInvalid(file.file, `tensor ${name} is also in ${twin.file}`, 'Download the model again');
        if (!shapes.has(name) && !(name === HEAD && config.tiedEmbeddings)) {
          throw new ModelFileInvalid(
            file.file,
            `has tensor ${name}, which a model of this config.json does not have`,
            'config.json and weights belong to different models',
          );
        }
        holder.set(name, file);
      }
    }
    const missing = [...shapes.keys()].filter((name) => !holder.has(name));
    if (missing.length > 0) {
      throw new ModelFileInvalid(
        directory,
        `lacks tensor ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ` and ${missing.length - 3} more` : ''}`,
        'Download the model again',
      );
    }
    const read = (name: string): Promise<Float32Array> => holder.get(name)!.read(name, shapes.get(name)!);
    return {
      config,
      async embedding() {
        const values = await read(EMBEDDING);
        const twin = config.tiedEmbeddings ? holder.get(HEAD) : undefined;
        // Tied by config.json, and a head beside it: harmless if it is the same matrix.
        if (twin) {
          const head = await twin.read(HEAD, shapes.get(EMBEDDING)!);
          const at = head.findIndex((value, i) => value !== values[i]);
          if (at >= 0)
            throw new ModelFileInvalid(
              twin.file,
              `${HEAD} differs from ${EMBEDDING} at index ${at}, but config.json ties them`,
              'Set tie_word_embeddings to false if the head is a matrix of its own',
            );
        }
        return values;
      },
      head: () => read(HEAD),
      finalNorm: () => read(FINAL_NORM),
      norm: (layer, which) => read(normTensor(layer, which)),
      module: (layer, module) => read(moduleTensor(layer, module, 'weight')),
      bias: (layer, module) => read(moduleTensor(layer, module, 'bias')),
      close: async () => void (await Promise.all(files.map((file) => file.close()))),
    };
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

async function weightFiles(directory: string): Promise<string[]> {
  if (existsSync(path.join(directory, WEIGHTS_FILE))) return [WEIGHTS_FILE];
  const index = path.join(directory, WEIGHTS_INDEX);
  if (!existsSync(index))
    throw new ModelFileInvalid(
      directory,
      `has neither ${WEIGHTS_FILE} nor ${WEIGHTS_INDEX}`,
      'Use a directory with safetensors; pickled weights are not read',
    );
  const { weight_map: map } = await readJson(index, 'Download the model again');
  const names = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  const bad = names.find((name) => typeof name !== 'string' || path.basename(name) !== name);
  if (names.length === 0 || bad !== undefined)
    throw new ModelFileInvalid(
      index,
      `names shard ${JSON.stringify(bad)}, expected plain file names in weight_map`,
      'Download the model again',
    );
  return (names as string[]).sort();
}
