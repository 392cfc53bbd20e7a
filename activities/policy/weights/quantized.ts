import { k4or5, q2_k, q3_k, q6_k } from './k-formats.js';
import { BLOCK, halfToNumber, type StoredFormat } from './stored-format.js';
import { iq4_nl, iq4_xs, mxfp4, tq1_0, tq2_0 } from './table-formats.js';

/**
 * GGML block formats, widened to fp32. A block is 32 weights that share a scale (and a minimum), or in
 * the K formats 256 in groups whose scales are themselves quantised; layouts as in the GGML specification.
 */

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

/** Half scale, [half minimum,] 32 fifth bits, 16 bytes of nibbles: w = (q - 16) * scale, or q * scale + minimum. */
const q5 = (name: string, withMinimum: boolean): StoredFormat => {
  const blockBytes = withMinimum ? 24 : 22;
  return {
    name,
    blockBytes,
    blockWeights: BLOCK,
    widen(bytes, out) {
      for (let block = 0; block * BLOCK < out.length; block++) {
        const at = block * blockBytes;
        const scale = halfToNumber(bytes.getUint16(at, true));
        const minimum = withMinimum ? halfToNumber(bytes.getUint16(at + 2, true)) : 0;
        const fifths = bytes.getUint32(at + blockBytes - 20, true);
        for (let i = 0; i < BLOCK; i++) {
          const pair = bytes.getUint8(at + blockBytes - 16 + (i & 15));
          const q = (i < 16 ? pair & 0xf : pair >>> 4) | (((fifths >>> i) & 1) << 4);
          out[block * BLOCK + i] = withMinimum ? q * scale + minimum : (q - 16) * scale;
        }
      }
    },
  };
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

/** What we read, by the type number of the GGUF header. */
export const ggmlFormats: ReadonlyMap<number, StoredFormat> = new Map([
  [0, f32],
  [1, f16],
  [2, q4_0],
  [3, q4_1],
  [6, q5('Q5_0', false)],
  [7, q5('Q5_1', true)],
  [8, q8_0],
  [10, q2_k],
  [11, q3_k],
  [12, k4or5('Q4_K', false)],
  [13, k4or5('Q5_K', true)],
  [14, q6_k],
  [20, iq4_nl],
  [23, iq4_xs],
  [30, bf16],
  [34, tq1_0],
  [35, tq2_0],
  [39, mxfp4],
]);

/** GGML's names of all its types, those that are not read here too; numbers that are missing were given up. */
const ggmlNames: readonly (string | undefined)[] = [
  'F32',
  'F16',
  'Q4_0',
  'Q4_1',
  'Q4_2',
  'Q4_3',
  'Q5_0',
  'Q5_1',
  'Q8_0',
  'Q8_1',
  'Q2_K',
  'Q3_K',
  'Q4_K',
  'Q5_K',
  'Q6_K',
  'Q8_K',
  'IQ2_XXS',
  'IQ2_XS',
  'IQ3_XXS',
  'IQ1_S',
  'IQ4_NL',
  'IQ3_S',
  'IQ2_S',
  'IQ4_XS',
  'I8',
  'I16',
  'I32',
  'I64',
  'F64',
  'IQ1_M',
  'BF16',
  'Q4_0_4_4',
  'Q4_0_4_8',
  'Q4_0_8_8',
  'TQ1_0',
  'TQ2_0',
  'IQ4_NL_4_4',
  'IQ4_NL_4_8',
  'IQ4_NL_8_8',
  'MXFP4',
  'NVFP4',
  'Q1_0',
];

/** A GGML type for people, e.g. `IQ2_S`; one that is newer than this list by its number. */
export const ggmlName = (type: number): string => ggmlNames[type] ?? `type ${type}`;
