import { existsSync } from 'node:fs';
import path from 'node:path';
import { readJson } from './weights/hugging-face.js';
import { ModelFileInvalid } from './weights/model-file-error.js';

const IDS = 'Write the id of the token there, or a list of ids, as tokenizer.json lists them';

/**
 * Ids that a model directory names as ends of a generation: eos_token_id of generation_config.json, or of config.json where that
 * names none. transformers looks into config.json only if there is no generation_config.json, and never stops if one names no end.
 *
 * @param vocabulary  rows of the embedding
 * @throws {ModelFileInvalid} if there is something else than ids of the vocabulary
 */
export async function endIdsOfSettings(directory: string, vocabulary: number): Promise<number[]> {
  for (const name of ['generation_config.json', 'config.json']) {
    const file = path.join(directory, name);
    if (!existsSync(file)) continue;
    const { eos_token_id: given } = await readJson(file, 'Use a directory as transformers saves it');
    const ids = given === undefined || given === null ? [] : Array.isArray(given) ? given : [given];
    for (const id of ids as unknown[]) {
      if (typeof id !== 'number')
        throw new ModelFileInvalid(
          file,
          `has eos_token_id = ${JSON.stringify(given)}, expected a token id or a list of them`,
          IDS,
        );
      checkId(file, 'eos_token_id', id, vocabulary);
    }
    if (ids.length > 0) return ids as number[];
  }
  return [];
}

/** @throws {ModelFileInvalid} if the id is none of the vocabulary */
export function checkId(file: string, key: string, id: number, vocabulary: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabulary) return;
  throw new ModelFileInvalid(
    file,
    `has ${key} ${id}, but the model's vocabulary has ${vocabulary} tokens, 0 to ${vocabulary - 1}`,
    IDS,
  );
}
