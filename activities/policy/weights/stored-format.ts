/** How a GGML block format is stored and widened; the formats are in quantized.ts, k-formats.ts and table-formats.ts. */
export interface StoredFormat {
  readonly name: string;
  /** Bytes of one block and weights in it. */
  readonly blockBytes: number;
  readonly blockWeights: number;
  /** Widens whole blocks from `bytes` into `out`. */
  widen(bytes: DataView, out: Float32Array): void;
}

/** Weights of a block. */
export const BLOCK = 32;
export const K_BLOCK = 256;

/** IEEE 754 half precision to a number. */
export function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
