import { stat } from 'node:fs/promises';
import { openGguf } from './gguf.js';
import type { AcceptedSettings } from './hugging-face-config.js';
import { openHuggingFace } from './hugging-face.js';
import type { WeightReader } from './weight-reader.js';

/**
 * A GGUF file, or a directory as Hugging Face lays it out.
 * @param accepted  settings of config.json that a person answers for
 * @throws {ModelFileInvalid}
 */
export async function openModel(model: string, accepted: AcceptedSettings = []): Promise<WeightReader> {
  const directory = await stat(model).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return directory ? openHuggingFace(model, accepted) : openGguf(model);
}
