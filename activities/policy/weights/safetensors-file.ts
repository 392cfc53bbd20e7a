import { open, type FileHandle } from 'node:fs/promises';
import { isLfsPointer } from './lfs-pointer.js';
import { ModelFileInvalid } from './model-file-error.js';
import { halfToNumber } from './stored-format.js';

const REMEDY = 'Download the file again';
/** A read of 2 GiB or more fails in Node. */
const READ_BYTES = 2 ** 30;
/** The format's own limit on the header. */
const HEADER_BYTES = 100_000_000;

interface StoredTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly at: number;
  readonly bytes: number;
}
const widths = { F32: 4, F16: 2, BF16: 2 } as const;
type Dtype = keyof typeof widths;

/** A safetensors file of any size, read tensor by tensor. */
export class SafetensorsFile {
  private constructor(
    readonly file: string,
    private readonly handle: FileHandle,
    private readonly tensors: ReadonlyMap<string, StoredTensor>,
  ) {}

  /** @throws {ModelFileInvalid} if the header is damaged or the file does not end where the header says */
  static async open(file: string): Promise<SafetensorsFile> {
    const handle = await open(file).catch((cause: NodeJS.ErrnoException) => {
      throw new ModelFileInvalid(
        file,
        cause.code === 'ENOENT' ? 'does not exist' : `cannot be opened (${cause.message})`,
        REMEDY,
      );
    });
    try {
      return new SafetensorsFile(file, handle, await readHeader(file, handle));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get names(): string[] {
    return [...this.tensors.keys()];
  }

  /** Widened to fp32. @throws {ModelFileInvalid} on another shape or a value that is not finite */
  async read(name: string, shape: readonly number[]): Promise<Float32Array> {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new ModelFileInvalid(this.file, `lacks tensor ${name}`, REMEDY);
    if (tensor.shape.join() !== shape.join()) {
      throw new ModelFileInvalid(
        this.file,
        `tensor ${name} has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}]`,
        'config.json and weights belong to different models',
      );
    }
    const bytes = await readBytes(this.file, this.handle, tensor.at, tensor.bytes);
    const values = widen(bytes, tensor.dtype);
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i]))
        throw new ModelFileInvalid(this.file, `tensor ${name} holds ${values[i]} at index ${i}`, REMEDY);
    }
    return values;
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

async function readHeader(file: string, handle: FileHandle): Promise<Map<string, StoredTensor>> {
  const fail = (problem: string): never => {
    throw new ModelFileInvalid(file, problem, REMEDY);
  };
  if (await isLfsPointer(file))
    throw new ModelFileInvalid(
      file,
      'is a pointer of Git LFS, not the file itself',
      'Run `git lfs pull` there, or download the file',
    );
  const { size } = await handle.stat();
  if (size < 8) fail(`is ${size} bytes, too short for a safetensors header`);
  const lead = await readBytes(file, handle, 0, 8);
  const headerBytes = Number(new DataView(lead.buffer).getBigUint64(0, true));
  if (headerBytes > HEADER_BYTES || 8 + headerBytes > size)
    fail(`claims a header of ${headerBytes} bytes in a file of ${size}: damaged or no safetensors`);
  const text = new TextDecoder().decode(await readBytes(file, handle, 8, headerBytes));
  let entries: Record<string, unknown>;
  try {
    entries = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return fail('has a header that is no JSON: damaged');
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(entries)) {
    if (name === '__metadata__') continue;
    const {
      dtype,
      shape,
      data_offsets: offsets,
    } = entry as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
    const whole = (values: unknown): values is number[] =>
      Array.isArray(values) && values.every((value) => Number.isSafeInteger(value) && value >= 0);
    if (!whole(shape) || !whole(offsets) || offsets.length !== 2)
      return fail(`tensor ${name} has a damaged header entry`);
    if (typeof dtype !== 'string' || !Object.hasOwn(widths, dtype)) {
      throw new ModelFileInvalid(
        file,
        `tensor ${name} is ${String(dtype)}, known are ${Object.keys(widths).join(', ')}`,
        otherType(name, String(dtype)),
      );
    }
    const [begin, end] = offsets as [number, number];
    const bytes = shape.reduce((product, n) => product * n, widths[dtype as Dtype]);
    if (end - begin !== bytes)
      fail(
        `tensor ${name} has ${end - begin} bytes, its shape [${shape.join(', ')}] as ${dtype} needs ${bytes}: damaged`,
      );
    const at = 8 + headerBytes + begin;
    if (at + bytes > size) fail(`tensor ${name} ends at byte ${at + bytes}, the file at ${size}: it is cut short`);
    tensors.set(name, { dtype: dtype as Dtype, shape, at, bytes });
  }
  // The format leaves no holes, so that a damaged offset is seen.
  let expected = 8 + headerBytes;
  for (const [name, { at, bytes }] of [...tensors].sort(([, a], [, b]) => a.at - b.at || a.bytes - b.bytes)) {
    if (at !== expected) fail(`tensor ${name} begins at byte ${at}, expected ${expected}: damaged`);
    expected = at + bytes;
  }
  if (expected !== size) fail(`ends at byte ${size}, its tensors at ${expected}: damaged`);
  return tensors;
}

/** What to do about a tensor of a type that is not read. */
function otherType(name: string, dtype: string): string {
  if (/^F[468]/.test(dtype) && dtype !== 'F64')
    return `The model is quantised to ${dtype.startsWith('F8') ? 'FP8' : dtype}: use the same model in bf16 or fp16`;
  if (/^[IU](8|16|32|64)$/.test(dtype) && /(weight|packed|zeros|g_idx|absmax|SCB|quant|scale)/.test(name)) {
    return `The model is quantised to whole numbers (${dtype}; GPTQ, AWQ, bitsandbytes or the like): use the model that it was made from, in bf16 or fp16`;
  }
  return 'Load the model with transformers in float32, and call save_pretrained';
}

export async function readBytes(
  file: string,
  handle: FileHandle,
  at: number,
  count: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(count);
  for (let done = 0; done < count; ) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(READ_BYTES, count - done), at + done);
    if (bytesRead === 0)
      throw new ModelFileInvalid(file, `ends at byte ${at + done}, before ${at + count}: it is cut short`, REMEDY);
    done += bytesRead;
  }
  return bytes;
}

let halves: Float32Array | undefined;
function widen(bytes: Uint8Array<ArrayBuffer>, dtype: Dtype): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  const stored = new Uint16Array(bytes.buffer);
  if (dtype === 'BF16') {
    const bits = new Uint32Array(stored.length);
    for (let i = 0; i < stored.length; i++) bits[i] = stored[i]! << 16;
    return new Float32Array(bits.buffer);
  }
  halves ??= Float32Array.from({ length: 65536 }, (_, half) => halfToNumber(half));
  const out = new Float32Array(stored.length);
  for (let i = 0; i < stored.length; i++) out[i] = halves[stored[i]!]!;
  return out;
}
