import { stat } from 'node:fs/promises';
import path from 'node:path';
import { gguf } from '@huggingface/gguf';
import type { ModelShape } from '../model-config.js';
import { configOf } from './gguf-config.js';
import { partMissing, partsOf, PARTS_REMEDY } from './gguf-parts.js';
import { isLfsPointer } from './lfs-pointer.js';
import { ModelFileInvalid } from './model-file-error.js';
import { ggmlFormats, ggmlName } from './quantized.js';

export const REMEDY = 'Run `npm run setup` again, or put a whole copy of the file there';

/** Where a tensor lies; `shape` has the slowest axis first. */
export interface GgufTensor {
  readonly shape: readonly number[];
  /** GGML's number of its format. */
  readonly type: number;
  readonly file: string;
  readonly at: number;
}

export interface GgufHeader {
  readonly file: string;
  /** Of the first part. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly config: ModelShape;
  /** Of all parts. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/**
 * Header of a GGUF model of one of the architectures of gguf-config.ts; of a split one, all its parts'.
 * @param file  the model, or its first part
 * @throws {ModelFileInvalid} if a part is missing, no GGUF, cut short or of another model, or the architecture is another
 */
export async function readGgufHeader(file: string): Promise<GgufHeader> {
  const files = partsOf(file);
  const parts = [];
  for (const part of files) parts.push(await readPart(part, files));
  const metadata = parts[0]!.metadata;
  requireOneModel(files, parts);
  const tensors = new Map<string, GgufTensor>();
  for (const part of parts) {
    for (const [name, tensor] of part.tensors) {
      const twin = tensors.get(name);
      if (twin)
        throw new ModelFileInvalid(tensor.file, `tensor ${name} is also in ${path.basename(twin.file)}`, PARTS_REMEDY);
      tensors.set(name, tensor);
    }
  }
  return { file, metadata, config: configOf(file, metadata, tensors), tensors };
}

interface Part {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

async function readPart(file: string, files: readonly string[]): Promise<Part> {
  const size = await stat(file).then(
    (s) => s.size,
    () => {
      throw files.length === 1 ? new ModelFileInvalid(file, 'does not exist', REMEDY) : partMissing(files, file);
    },
  );
  if (await isLfsPointer(file))
    throw new ModelFileInvalid(
      file,
      'is a pointer of Git LFS, not the file itself',
      'Run `git lfs pull` there, or download the file',
    );
  const header = await gguf(file, { allowLocalFile: true }).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const remedy = reason.includes('unsupported version')
      ? 'GGUF versions up to 3 are read: convert the model again with a llama.cpp that writes one of them'
      : REMEDY;
    throw new ModelFileInvalid(file, `is not a readable GGUF file (${reason})`, remedy);
  });
  const metadata = header.metadata as unknown as Record<string, unknown>;
  if (!header.littleEndian)
    throw new ModelFileInvalid(
      file,
      'is written for big-endian machines',
      'Convert it with `gguf-convert-endian FILE little` of the gguf package, or use the usual file of the model',
    );
  // Past its end the reader finds zeros, which look like a header too.
  if (Number(header.tensorDataOffset) > size) {
    throw new ModelFileInvalid(
      file,
      `has a header that ends at byte ${header.tensorDataOffset}, and ends itself at ${size}: it is cut short`,
      REMEDY,
    );
  }
  const alignment = Number(metadata['general.alignment'] ?? 32);
  const tensors = new Map<string, GgufTensor>();
  let expected = 0;
  for (const { name, offset, shape: axes, dtype: type } of header.tensorInfos) {
    if (tensors.has(name)) throw new ModelFileInvalid(file, `lists tensor ${name} twice: it is damaged`, REMEDY);
    const shape = axes.map(Number).reverse(); // GGUF lists the fastest axis first
    const at = Number(header.tensorDataOffset) + Number(offset);
    tensors.set(name, { shape, type, file, at });
    const bytes = storedBytes(file, name, shape, type);
    if (at + bytes > size)
      throw new ModelFileInvalid(
        file,
        `tensor ${name} ends at byte ${at + bytes}, the file at ${size}: it is cut short`,
        REMEDY,
      );
    // Tensors lie one after another, so that a damaged offset is seen.
    if (Number(offset) !== expected)
      throw new ModelFileInvalid(
        file,
        `tensor ${name} has offset ${offset}, expected ${expected}: it is damaged`,
        REMEDY,
      );
    expected = Math.ceil((expected + bytes) / alignment) * alignment;
  }
  return { metadata, tensors };
}

/** What parts say of themselves must fit their names and each other. */
function requireOneModel(files: readonly string[], parts: readonly Part[]): void {
  const number = ({ metadata }: Part, key: string): number | undefined =>
    metadata[key] === undefined ? undefined : Number(metadata[key]);
  parts.forEach((part, i) => {
    const file = files[i]!;
    const [count, at] = [number(part, 'split.count') ?? 1, number(part, 'split.no') ?? 0];
    if (files.length === 1 && count > 1) {
      const name = `NAME-${String(at + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`;
      throw new ModelFileInvalid(
        file,
        `is part ${at + 1} of ${count} of a split model (split.count), but its name does not say so`,
        `Name the parts as they were, ${name}, in one folder, and give the first one`,
      );
    }
    if (count !== files.length || at !== i) {
      throw new ModelFileInvalid(
        file,
        `says that it is part ${at + 1} of ${count} (split.no, split.count), its name says ${i + 1} of ${files.length}`,
        PARTS_REMEDY,
      );
    }
    // A later part repeats the first one's metadata or leaves it out.
    const repeated = Object.keys(part.metadata).filter(
      (key) => key.includes('.') && !key.startsWith('split.') && key in parts[0]!.metadata,
    );
    const other = repeated.find((key) => asText(part.metadata[key]) !== asText(parts[0]!.metadata[key]));
    if (other)
      throw new ModelFileInvalid(
        file,
        `has ${other} = ${shown(part.metadata[other])}, the first part ${shown(parts[0]!.metadata[other])}: they are of different models`,
        PARTS_REMEDY,
      );
  });
  const stated = number(parts[0]!, 'split.tensors.count');
  const found = parts.reduce((sum, { tensors }) => sum + tensors.size, 0);
  if (files.length > 1 && stated !== undefined && stated !== found) {
    throw new ModelFileInvalid(
      files[0]!,
      `says that the parts have ${stated} tensors (split.tensors.count), they have ${found}`,
      PARTS_REMEDY,
    );
  }
}

const asText = (value: unknown): string =>
  JSON.stringify(value, (_, of: unknown) => (typeof of === 'bigint' ? Number(of) : of)) ?? 'none';
const shown = (value: unknown): string =>
  asText(value).length > 60 ? `${asText(value).slice(0, 60)}...` : asText(value);

/** Bytes of a tensor in its file. @throws {ModelFileInvalid} on a format that is not read, or rows that are no whole blocks */
export function storedBytes(file: string, name: string, shape: readonly number[], type: number): number {
  const format = ggmlFormats.get(type);
  if (!format) {
    const known = [...ggmlFormats.values()].map((f) => f.name).join(', ');
    throw new ModelFileInvalid(
      file,
      `tensor ${name} is stored as ${ggmlName(type)}, which is not read here; known are ${known}`,
      'Use a file quantised in one of these, or the Hugging Face directory of the same model',
    );
  }
  const weights = shape.reduce((a, b) => a * b, 1);
  if (shape.at(-1)! % format.blockWeights !== 0) {
    throw new ModelFileInvalid(
      file,
      `tensor ${name} has rows of ${shape.at(-1)} weights, no multiple of the ${format.blockWeights} of a ${format.name} block`,
      REMEDY,
    );
  }
  return (weights / format.blockWeights) * format.blockBytes;
}
