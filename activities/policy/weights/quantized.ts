/**
 * GGML block formats, widened to fp32. A block is 32 weights that share a scale (and a minimum), or in
 * the K formats 256 in groups whose scales are themselves quantised; layouts as in the GGML specification.
 */

const BLOCK = 32;
const K_BLOCK = 256;

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

const bf16: StoredFormat = {
  name: 'BF16',
  blockBytes: 2,
  blockWeights: 1,
  widen(bytes, out) {
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let i = 0; i < out.length; i++) bits[i] = bytes.getUint16(i * 2, true) << 16;
  },
};

/** Half scale, 16 bytes of nibbles: w = (q - 8) * scale; low nibbles are the first 16 weights. */
const q4_0: StoredFormat = {
  name: 'Q4_0',
  blockBytes: 18,
  blockWeights: BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * BLOCK < out.length; block++) {
      const at = block * 18;
      const scale = halfToNumber(bytes.getUint16(at, true));
      for (let i = 0; i < 16; i++) {
        const pair = bytes.getUint8(at + 2 + i);
        out[block * BLOCK + i] = ((pair & 0xf) - 8) * scale;
        out[block * BLOCK + 16 + i] = ((pair >>> 4) - 8) * scale;
      }
    }
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

/** Scale and minimum of group 0..7 out of the 12 bytes that hold 6 bits of each. */
function groupScale(bytes: DataView, at: number, group: number): [scale: number, minimum: number] {
  if (group < 4) return [bytes.getUint8(at + group) & 63, bytes.getUint8(at + 4 + group) & 63];
  const low = bytes.getUint8(at + 4 + group);
  return [(low & 0xf) | ((bytes.getUint8(at + group - 4) >>> 6) << 4), (low >>> 4) | ((bytes.getUint8(at + group) >>> 6) << 4)];
}

/**
 * Half scale, half scale of the minima, 12 bytes of group scales and minima, [32 bytes of fifth bits,]
 * 128 bytes of nibbles: w = q * scale * s - minima * m. 64 weights share 32 bytes: low nibbles first.
 */
const k4or5 = (name: string, fifthBits: boolean): StoredFormat => {
  const blockBytes = fifthBits ? 176 : 144;
  return {
    name,
    blockBytes,
    blockWeights: K_BLOCK,
    widen(bytes, out) {
      for (let block = 0; block * K_BLOCK < out.length; block++) {
        const at = block * blockBytes;
        const scale = halfToNumber(bytes.getUint16(at, true));
        const minima = halfToNumber(bytes.getUint16(at + 2, true));
        const nibbles = at + (fifthBits ? 48 : 16);
        for (let group = 0; group < 8; group++) {
          const [s, m] = groupScale(bytes, at + 4, group);
          // Rounded to fp32 where the reference rounds.
          const [d, least] = [Math.fround(scale * s), Math.fround(minima * m)];
          for (let i = 0; i < 32; i++) {
            const pair = bytes.getUint8(nibbles + (group >>> 1) * 32 + i);
            const nibble = group & 1 ? pair >>> 4 : pair & 0xf;
            const fifth = fifthBits ? ((bytes.getUint8(at + 16 + i) >>> group) & 1) << 4 : 0;
            out[block * K_BLOCK + group * 32 + i] = Math.fround(d * (nibble | fifth)) - least;
          }
        }
      }
    },
  };
};

/** 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed group scales, half scale: w = (q - 32) * scale * s; groups of 16. */
const q6_k: StoredFormat = {
  name: 'Q6_K',
  blockBytes: 210,
  blockWeights: K_BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * K_BLOCK < out.length; block++) {
      const at = block * 210;
      const scale = halfToNumber(bytes.getUint16(at + 208, true));
      for (let i = 0; i < K_BLOCK; i++) {
        const [half, within] = [i >>> 7, i & 127];
        const pair = bytes.getUint8(at + half * 64 + (within & 63));
        const low = within < 64 ? pair & 0xf : pair >>> 4;
        const high = (bytes.getUint8(at + 128 + half * 32 + (within & 31)) >>> (2 * (within >>> 5))) & 3;
        out[block * K_BLOCK + i] = Math.fround(scale * bytes.getInt8(at + 192 + (i >>> 4))) * ((low | (high << 4)) - 32);
      }
    }
  },
};

/** By the type number of the GGUF header. */
export const ggmlFormats: ReadonlyMap<number, StoredFormat> = new Map([
  [0, f32],
  [1, f16],
  [2, q4_0],
  [3, q4_1],
  [8, q8_0],
  [12, k4or5('Q4_K', false)],
  [13, k4or5('Q5_K', true)],
  [14, q6_k],
  [30, bf16],
]);
