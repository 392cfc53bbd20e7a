/**
 * GGML block formats, widened to fp32. A block is 32 weights that share a scale (and a minimum);
 * layouts as in the GGML specification.
 */

const BLOCK = 32;

export interface StoredFormat {
  readonly name: string;
  /** Bytes of one block and weights in it. */
  readonly blockBytes: number;
  readonly blockWeights: number;
  /** Widens whole blocks from `bytes` into `out`. */
  widen(bytes: DataView, out: Float32Array): void;
}

/** IEEE 754 half precision to a number. */
export function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const f32: StoredFormat = {
  name: 'F32',
  blockBytes: 4,
  blockWeights: 1,
  widen(bytes, out) {
    for (let i = 0; i < out.length; i++) out[i] = bytes.getFloat32(i * 4, true);
  },
};

const f16: StoredFormat = {
  name: 'F16',
  blockBytes: 2,
  blockWeights: 1,
  widen(bytes, out) {
    for (let i = 0; i < out.length; i++) out[i] = halfToNumber(bytes.getUint16(i * 2, true));
  },
};

/** Half scale, half minimum, 16 bytes of nibbles: w = q * scale + minimum; low nibbles are the first 16 weights. */
const q4_1: StoredFormat = {
  name: 'Q4_1',
  blockBytes: 20,
  blockWeights: BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * BLOCK < out.length; block++) {
      const at = block * 20;
      const scale = halfToNumber(bytes.getUint16(at, true));
      const minimum = halfToNumber(bytes.getUint16(at + 2, true));
      for (let i = 0; i < 16; i++) {
        const pair = bytes.getUint8(at + 4 + i);
        out[block * BLOCK + i] = (pair & 0xf) * scale + minimum;
        out[block * BLOCK + 16 + i] = (pair >>> 4) * scale + minimum;
      }
    }
  },
};

/** Half scale, 32 signed bytes: w = q * scale. */
const q8_0: StoredFormat = {
  name: 'Q8_0',
  blockBytes: 34,
  blockWeights: BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * BLOCK < out.length; block++) {
      const at = block * 34;
      const scale = halfToNumber(bytes.getUint16(at, true));
      for (let i = 0; i < BLOCK; i++) out[block * BLOCK + i] = bytes.getInt8(at + 2 + i) * scale;
    }
  },
};

/** By the type number of the GGUF header. */
export const ggmlFormats: ReadonlyMap<number, StoredFormat> = new Map([
  [0, f32],
  [1, f16],
  [3, q4_1],
  [8, q8_0],
]);
