import { BLOCK, halfToNumber, K_BLOCK, type StoredFormat } from './stored-format.js';

/** Formats whose nibbles are indices into a table, and the ternary ones; layouts as in the GGML specification. */

const iq4Values = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/** Numbers of one sign, two exponent and one fraction bit, doubled. */
const fp4Values = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** A scale of some kind, 16 bytes of nibbles: w = table[q] * scale; low nibbles are the first 16 weights. */
const tabled = (
  name: string,
  table: readonly number[],
  scaleBytes: number,
  scaleAt: (bytes: DataView, at: number) => number,
): StoredFormat => {
  const blockBytes = scaleBytes + 16;
  return {
    name,
    blockBytes,
    blockWeights: BLOCK,
    widen(bytes, out) {
      for (let block = 0; block * BLOCK < out.length; block++) {
        const at = block * blockBytes;
        const scale = scaleAt(bytes, at);
        for (let i = 0; i < 16; i++) {
          const pair = bytes.getUint8(at + scaleBytes + i);
          out[block * BLOCK + i] = table[pair & 0xf]! * scale;
          out[block * BLOCK + 16 + i] = table[pair >>> 4]! * scale;
        }
      }
    },
  };
};

export const iq4_nl = tabled('IQ4_NL', iq4Values, 2, (bytes, at) => halfToNumber(bytes.getUint16(at, true)));
/** The scale is a power of two, halved since the table is doubled. */
export const mxfp4 = tabled('MXFP4', fp4Values, 1, (bytes, at) => 2 ** (bytes.getUint8(at) - 128));

/** Half scale, 16 upper bit pairs and 8 low nibbles of group scales, 128 bytes of nibbles: w = table[q] * scale * (s - 32); groups of 32. */
export const iq4_xs: StoredFormat = {
  name: 'IQ4_XS',
  blockBytes: 136,
  blockWeights: K_BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * K_BLOCK < out.length; block++) {
      const at = block * 136;
      const scale = halfToNumber(bytes.getUint16(at, true));
      const upper = bytes.getUint16(at + 2, true);
      for (let i = 0; i < K_BLOCK; i++) {
        const group = i >>> 5;
        const low = bytes.getUint8(at + 4 + (group >>> 1)) >>> (4 * (group & 1));
        const s = ((low & 0xf) | (((upper >>> (2 * group)) & 3) << 4)) - 32;
        const pair = bytes.getUint8(at + 8 + group * 16 + (i & 15));
        out[block * K_BLOCK + i] = scale * s * iq4Values[(i & 31) < 16 ? pair & 0xf : pair >>> 4]!;
      }
    }
  },
};

/** Digit of a byte that holds five of them as a fraction of 256 in base 3. */
const ternary = (byte: number, digit: number): number => ((((byte * 3 ** digit) & 0xff) * 3) >>> 8) - 1;

/** 48 bytes of five ternary digits, 4 of four, half scale: w = digit * scale. */
export const tq1_0: StoredFormat = {
  name: 'TQ1_0',
  blockBytes: 54,
  blockWeights: K_BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * K_BLOCK < out.length; block++) {
      const at = block * 54;
      const scale = halfToNumber(bytes.getUint16(at + 52, true));
      for (let i = 0; i < K_BLOCK; i++) {
        // The digits of 32 bytes, then of 16, then of 4.
        const [first, byte, width] = i < 160 ? [0, 0, 32] : i < 240 ? [160, 32, 16] : [240, 48, 4];
        out[block * K_BLOCK + i] =
          ternary(bytes.getUint8(at + byte + ((i - first) % width)), Math.floor((i - first) / width)) * scale;
      }
    }
  },
};

/** 64 bytes of bit pairs, half scale: w = (q - 1) * scale. */
export const tq2_0: StoredFormat = {
  name: 'TQ2_0',
  blockBytes: 66,
  blockWeights: K_BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * K_BLOCK < out.length; block++) {
      const at = block * 66;
      const scale = halfToNumber(bytes.getUint16(at + 64, true));
      for (let i = 0; i < K_BLOCK; i++) {
        const q = (bytes.getUint8(at + (i >>> 7) * 32 + (i & 31)) >>> (2 * ((i >>> 5) & 3))) & 3;
        out[block * K_BLOCK + i] = (q - 1) * scale;
      }
    }
  },
};
