import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { LoraConfig } from '../../../schemas/train-config.js';
import { adapterLayout } from '../lora.js';
import { moduleNames, type ModelShape, type ModuleName } from '../model-config.js';
import type { StoredTensors } from '../policy.js';
import { readJson } from './hugging-face.js';
import { ModelFileInvalid } from './model-file-error.js';
import { loraOfPeftSettings } from './peft-settings.js';
import { SafetensorsFile } from './safetensors-file.js';
import { readSafetensors, writeSafetensors, type NamedTensor } from './safetensors.js';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

/**
 * A PEFT LoRA directory as the adapter of a model of this shape; modules that it leaves alone get zeros.
 * @throws {ModelFileInvalid} if it is for another model, or of a kind that we do not compute
 */
export async function readPeftAdapter(
  directory: string,
  config: ModelShape,
): Promise<{ lora: LoraConfig; adapter: StoredTensors }> {
  const configFile = path.join(directory, CONFIG);
  const settings = await readJson(configFile, 'Use a directory as PEFT, or `npm run export`, writes it');
  const lora = loraOfPeftSettings(configFile, settings);
  const pickled = path.join(directory, 'adapter_model.bin');
  if (existsSync(pickled) && !existsSync(path.join(directory, WEIGHTS))) {
    throw new ModelFileInvalid(
      pickled,
      `holds pickled weights, which are not read, and there is no ${WEIGHTS}`,
      'Load the adapter with PEFT and save_pretrained it: that writes safetensors',
    );
  }
  const file = await SafetensorsFile.open(path.join(directory, WEIGHTS));
  try {
    const { tensors } = adapterLayout(config, lora);
    const present = new Set(file.names);
    const known = new Set(tensors.map(({ name }) => name));
    const strange = file.names.find((name) => !known.has(name));
    if (strange !== undefined)
      throw new ModelFileInvalid(
        file.file,
        `has tensor ${strange}, which an adapter of this model does not have`,
        'The adapter belongs to another model',
      );
    const result: NamedTensor[] = [];
    for (const { name, shape, which } of tensors) {
      const twin = name.replace(`lora_${which}.`, `lora_${which === 'A' ? 'B' : 'A'}.`);
      if (!present.has(name) && present.has(twin))
        throw new ModelFileInvalid(file.file, `lacks tensor ${name}, but has ${twin}`, 'Export the adapter again');
      const values = present.has(name) ? await file.read(name, shape) : new Float32Array(shape[0] * shape[1]);
      result.push({ name, shape, values });
    }
    if (present.size === 0) throw new ModelFileInvalid(file.file, 'holds no tensor', 'Export the adapter again');
    const bytes = writeSafetensors(result, { format: 'pt' });
    return { lora, adapter: { sha256: createHash('sha256').update(bytes).digest('hex'), read: async () => bytes } };
  } finally {
    await file.close();
  }
}

/**
 * Adapters that act together as one of their joint rank: sum of B_i A_i = [B_1 B_2 ...] [A_1; A_2; ...].
 * The scale alpha / rank is theirs, so the joint alpha grows with the rank.
 */
export function jointAdapter(
  adapters: readonly Uint8Array[],
  config: ModelShape,
  lora: LoraConfig,
): { lora: LoraConfig; tensors: NamedTensor[] } {
  const parts = adapters.map((bytes) => readSafetensors(bytes).tensors);
  const joint: LoraConfig = { rank: lora.rank * parts.length, alpha: lora.alpha * parts.length };
  const tensors = adapterLayout(config, joint).tensors.map(({ name, shape, which }) => {
    const values = new Float32Array(shape[0] * shape[1]);
    parts.forEach((part, p) => {
      const { values: own } = part.get(name)!;
      if (which === 'A') values.set(own, p * own.length);
      else
        for (let row = 0; row < shape[0]; row++)
          values.set(own.subarray(row * lora.rank, (row + 1) * lora.rank), row * joint.rank + p * lora.rank);
    });
    return { name, shape, values };
  });
  return { lora: joint, tensors };
}

/** Writes what `PeftModel.from_pretrained(base, directory)` reads. */
export async function writePeftAdapter(
  directory: string,
  baseModel: string,
  lora: LoraConfig,
  tensors: readonly NamedTensor[],
): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const settings = {
    base_model_name_or_path: baseModel,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    lora_alpha: lora.alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: lora.rank,
    target_modules: moduleNames.map((name: ModuleName) => name.slice(name.indexOf('.') + 1)),
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: false,
  };
  await writeFile(path.join(directory, CONFIG), `${JSON.stringify(settings, null, 2)}\n`);
  await writeFile(path.join(directory, WEIGHTS), writeSafetensors(tensors, { format: 'pt' }));
  return [CONFIG, WEIGHTS];
}
