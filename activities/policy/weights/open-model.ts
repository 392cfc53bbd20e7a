import { stat } from 'node:fs/promises';
import { openGguf } from './gguf.js';
import { openHuggingFace } from './hugging-face.js';
import type { WeightReader } from './weight-reader.js';

/** A GGUF file, or a directory as Hugging Face lays it out. @throws {ModelFileInvalid} */
export async function openModel(model: string): Promise<WeightReader> {
  const directory = await stat(model).then((found) => found.isDirectory(), () => false);
  return directory ? openHuggingFace(model) : openGguf(model);
}
