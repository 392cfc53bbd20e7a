import path from 'node:path';
import { ModelFileInvalid } from './model-file-error.js';

/** As llama.cpp's gguf-split names the parts of a model. */
const PART = /^(?<prefix>.*)-(?<part>\d{5})-of-(?<count>\d{5})\.gguf$/;

/**
 * Files of the model that a GGUF file is or begins: itself, or all parts in their order. Names decide, as in llama.cpp;
 * whether the parts are there, and fit together, is not looked at.
 * @throws {ModelFileInvalid} if the file is a later part
 */
export function partsOf(file: string): string[] {
  const { prefix, part, count } = PART.exec(path.basename(file))?.groups ?? {};
  const [at, of] = [Number(part), Number(count)];
  if (prefix === undefined || of <= 1 || at < 1 || at > of) return [file];
  const names = Array.from({ length: of }, (_, i) => `${prefix}-${String(i + 1).padStart(5, '0')}-of-${count}.gguf`);
  if (at > 1)
    throw new ModelFileInvalid(
      file,
      `is part ${at} of ${of} of a split model`,
      `Name its first part, ${names[0]}; the others are read with it`,
    );
  return names.map((name) => path.join(path.dirname(file), name));
}

/** What to say if one of several parts is not there. */
export const partMissing = (parts: readonly string[], part: string): ModelFileInvalid =>
  new ModelFileInvalid(
    part,
    `does not exist: it is part ${parts.indexOf(part) + 1} of ${parts.length} of the model`,
    PARTS_REMEDY,
  );
export const PARTS_REMEDY = 'Put all parts of one download into one folder, under the names that they came with';
