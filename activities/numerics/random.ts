import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';

/**
 * A uniform number in [0, 1) that depends on its key alone: no generator state, so no order of
 * calls, retry or number of workers can change it. 53 bits of SHA-256.
 */
export function uniform(key: string): number {
  const digest = sha256(utf8ToBytes(key));
  const view = new DataView(digest.buffer, digest.byteOffset);
  return (view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11)) / 2 ** 53;
}

/** A permutation of the items that depends on the key alone (Fisher-Yates). */
export function shuffled<T>(items: readonly T[], key: string): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(uniform(`${key}/${i}`) * (i + 1));
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}

/** Many uniforms in [0, 1) from one key: SHA-256 in counter mode, 32 bits each. */
export function uniforms(key: string, count: number): Float32Array {
  const result = new Float32Array(count);
  for (let block = 0; block * 8 < count; block++) {
    const digest = sha256(utf8ToBytes(`${key}/${block}`));
    const view = new DataView(digest.buffer, digest.byteOffset);
    for (let i = 0; i < 8 && block * 8 + i < count; i++) result[block * 8 + i] = view.getUint32(i * 4) / 2 ** 32;
  }
  return result;
}

/** `n` items drawn with replacement from `n`, by their indices: a resample of the bootstrap, which the key decides. */
export const resampledIndices = (key: string, n: number): Int32Array =>
  // Single precision may round a uniform number up to 1.
  Int32Array.from(uniforms(key, n), (u) => Math.min(n - 1, Math.floor(u * n)));
