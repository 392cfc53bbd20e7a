/**
 * The safetensors container, fp32 only: 8 bytes of header length, a JSON header padded with blanks,
 * then the tensors back to back. Written in the given order with sorted metadata: equal values give
 * equal bytes.
 */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

interface TensorEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

export class TensorFileInvalid extends Error {
  override readonly name = 'TensorFileInvalid';
}

export function writeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: Object.fromEntries(Object.entries(metadata).sort()) };
  let offset = 0;
  for (const { name, shape, values } of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + values.byteLength] };
    offset += values.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const out = new Uint8Array(8 + headerBytes + offset).fill(0x20, 8 + json.length, 8 + headerBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(headerBytes), true);
  out.set(json, 8);
  let at = 8 + headerBytes;
  for (const { values } of tensors) {
    out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return out;
}

/** @throws {TensorFileInvalid} naming what is wrong and, where it can, the tensor */
export function readSafetensors(bytes: Uint8Array): {
  tensors: Map<string, NamedTensor>;
  metadata: Record<string, string>;
} {
  const fail = (problem: string): never => {
    throw new TensorFileInvalid(
      `safetensors of ${bytes.length} bytes: ${problem}; the file is not what was written, restore it from its checkpoint`,
    );
  };
  if (bytes.length < 8) fail('too short for a header');
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (8 + headerBytes > bytes.length) fail(`the header claims ${headerBytes} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)));
  } catch {
    return fail('the header is no JSON');
  }
  const { __metadata__: metadata, ...entries } = json as Record<string, TensorEntry> & {
    __metadata__?: Record<string, string>;
  };
  const tensors = new Map<string, NamedTensor>();
  for (const [name, info] of Object.entries(entries as Record<string, TensorEntry>)) {
    const [begin, end] = info.data_offsets;
    const count = info.shape.reduce((a, b) => a * b, 1);
    if (info.dtype !== 'F32') fail(`tensor ${name} is ${info.dtype}, expected F32`);
    if (end - begin !== count * 4 || 8 + headerBytes + end > bytes.length)
      fail(`tensor ${name} does not fit its shape [${info.shape.join(', ')}]`);
    // Copied, as the bytes need not be aligned to 4; not by slice(), which in a Buffer shares memory.
    const values = new Float32Array(
      Uint8Array.from(bytes.subarray(8 + headerBytes + begin, 8 + headerBytes + end)).buffer,
    );
    tensors.set(name, { name, shape: info.shape, values });
  }
  return { tensors, metadata: metadata ?? {} };
}
