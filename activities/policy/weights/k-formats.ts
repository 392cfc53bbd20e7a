import { halfToNumber, K_BLOCK, type StoredFormat } from './stored-format.js';

/** The K formats: blocks of 256 weights in groups whose scales are themselves quantised; layouts as in the GGML specification. */

/** Scale and minimum of group 0..7 out of the 12 bytes that hold 6 bits of each. */
function groupScale(bytes: DataView, at: number, group: number): [scale: number, minimum: number] {
  if (group < 4) return [bytes.getUint8(at + group) & 63, bytes.getUint8(at + 4 + group) & 63];
  const low = bytes.getUint8(at + 4 + group);
  return [
    (low & 0xf) | ((bytes.getUint8(at + group - 4) >>> 6) << 4),
    (low >>> 4) | ((bytes.getUint8(at + group) >>> 6) << 4),
  ];
}

/**
 * Half scale, half scale of the minima, 12 bytes of group scales and minima, [32 bytes of fifth bits,]
 * 128 bytes of nibbles: w = q * scale * s - minima * m. 64 weights share 32 bytes: low nibbles first.
 */
export const k4or5 = (name: string, fifthBits: boolean): StoredFormat => {
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
export const q6_k: StoredFormat = {
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
        out[block * K_BLOCK + i] =
          Math.fround(scale * bytes.getInt8(at + 192 + (i >>> 4))) * ((low | (high << 4)) - 32);
      }
    }
  },
};

/** 16 bytes of group scales and minima, 64 bytes of bit pairs, half scale, half scale of the minima: w = q * scale * s - minima * m; groups of 16. */
export const q2_k: StoredFormat = {
  name: 'Q2_K',
  blockBytes: 84,
  blockWeights: K_BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * K_BLOCK < out.length; block++) {
      const at = block * 84;
      const scale = halfToNumber(bytes.getUint16(at + 80, true));
      const minima = halfToNumber(bytes.getUint16(at + 82, true));
      for (let i = 0; i < K_BLOCK; i++) {
        const group = bytes.getUint8(at + (i >>> 4));
        const q = (bytes.getUint8(at + 16 + pairByte(i)) >>> pairShift(i)) & 3;
        out[block * K_BLOCK + i] = scale * (group & 0xf) * q - minima * (group >>> 4);
      }
    }
  },
};

/** 32 bytes of third bits, 64 of bit pairs, 12 that hold 16 group scales of 6 bits, half scale: w = (q - 4) * scale * (s - 32); groups of 16. */
export const q3_k: StoredFormat = {
  name: 'Q3_K',
  blockBytes: 110,
  blockWeights: K_BLOCK,
  widen(bytes, out) {
    for (let block = 0; block * K_BLOCK < out.length; block++) {
      const at = block * 110;
      const scale = halfToNumber(bytes.getUint16(at + 108, true));
      for (let i = 0; i < K_BLOCK; i++) {
        const group = i >>> 4;
        const nibbles = bytes.getUint8(at + 96 + (group & 7));
        const upper = (bytes.getUint8(at + 104 + (group & 3)) >>> (2 * (group >>> 2))) & 3;
        const s = ((group < 8 ? nibbles & 0xf : nibbles >>> 4) | (upper << 4)) - 32;
        const low = (bytes.getUint8(at + 32 + pairByte(i)) >>> pairShift(i)) & 3;
        const third = (bytes.getUint8(at + (i & 31)) >>> (i >>> 5)) & 1;
        out[block * K_BLOCK + i] = scale * s * ((low | (third << 2)) - 4);
      }
    }
  },
};

/** Where weight i of 256 has its two bits: 128 weights share 32 bytes, 32 of them one place within the byte. */
const pairByte = (i: number): number => (i >>> 7) * 32 + (i & 31);
const pairShift = (i: number): number => 2 * ((i >>> 5) & 3);
