import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import canonicalize from 'canonicalize';
import { readTextFile } from '../text-file.js';
import { partMissing, partsOf } from './weights/gguf-parts.js';

/** Files of a Hugging Face directory that decide numbers or text, besides the weights. */
export const SETTINGS = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];
export const WEIGHTS_FILE = 'model.safetensors';
export const WEIGHTS_INDEX = 'model.safetensors.index.json';

/** The files that make a model directory what it is, by name; others (README, caches) are left out. */
export async function modelFilesOf(directory: string): Promise<string[]> {
  const present = new Set(await readdir(directory));
  const settings = SETTINGS.filter((name) => present.has(name));
  if (present.has(WEIGHTS_FILE)) return [...settings, WEIGHTS_FILE].sort();
  if (!present.has(WEIGHTS_INDEX)) return settings.sort();
  return [...settings, WEIGHTS_INDEX, ...(await shardFilesOf(directory))].sort();
}

/** Shards that the index names, without those that are not plain names. */
export async function shardFilesOf(directory: string): Promise<string[]> {
  const index = JSON.parse(await readTextFile(path.join(directory, WEIGHTS_INDEX))) as {
    weight_map?: Record<string, string>;
  };
  return [...new Set(Object.values(index.weight_map ?? {}))].filter((name) => path.basename(name) === name);
}

/**
 * What a model is: of a file its sha256; of a directory, or a GGUF model in parts, the sha256 of the canonical
 * JSON list (RFC 8785) of its files, each `{bytes, name, sha256}`, ordered by name.
 * @param model  of a GGUF model in parts the first one
 * @throws {ModelFileInvalid} if one of several parts is missing, or a later one is named
 */
export async function modelFingerprint(model: string): Promise<{ sha256: string; bytes: number }> {
  const isDirectory = (await stat(model)).isDirectory();
  const parts = isDirectory ? (await modelFilesOf(model)).map((name) => path.join(model, name)) : partsOf(model);
  if (!isDirectory && parts.length === 1) return fileFingerprint(model);
  const missing = isDirectory ? undefined : parts.find((part) => !existsSync(part));
  if (missing !== undefined) throw partMissing(parts, missing);
  const files: { name: string; sha256: string; bytes: number }[] = [];
  for (const part of parts) files.push({ name: path.basename(part), ...(await fileFingerprint(part)) });
  return {
    sha256: createHash('sha256').update(canonicalize(files)!).digest('hex'),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

async function fileFingerprint(file: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return { sha256: hash.digest('hex'), bytes: (await stat(file)).size };
}
