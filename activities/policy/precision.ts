import { isMainThread } from 'node:worker_threads';

export const PRECISIONS = ['fp32', 'bf16'] as const;
/**
 * Arithmetic of matrix products. Weights, activations, sums and the optimiser are fp32 in both; with
 * bf16 the factors of a product are rounded to 8 bits of mantissa where the device has such units.
 */
export type Precision = (typeof PRECISIONS)[number];

export const isPrecision = (word: string): word is Precision => (PRECISIONS as readonly string[]).includes(word);

/**
 * Chooses the precision of this process. libtensorflow reads it from the environment when it loads,
 * so this comes first, and in the main thread: a worker thread's `process.env` is a copy that native code does not see.
 *
 * @throws {Error} in a worker thread
 */
export function choosePrecision(precision: Precision): void {
  if (!isMainThread) throw new Error('the precision is chosen in a worker thread, where libtensorflow does not see it: choose it in the main thread, before the thread starts');
  if (precision === 'bf16') {
    process.env['ONEDNN_DEFAULT_FPMATH_MODE'] = 'BF16';
    return;
  }
  delete process.env['ONEDNN_DEFAULT_FPMATH_MODE'];
  // TensorFlow lets NVIDIA cards multiply fp32 in 10 bits of mantissa unless told otherwise.
  process.env['NVIDIA_TF32_OVERRIDE'] = '0';
}

/** What the library was loaded with. */
export const chosenPrecision = (): Precision => (process.env['ONEDNN_DEFAULT_FPMATH_MODE'] === 'BF16' ? 'bf16' : 'fp32');
