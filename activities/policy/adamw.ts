import { tf, type Tensor } from './backend.js';
import type { AdamWOptions } from './policy.js';

/** First and second moment of every trainable parameter, flat in the adapter's layout. (P) each */
export interface MomentTensors {
  readonly first: Tensor;
  readonly second: Tensor;
}

/** Parameters at once: a step has a dozen intermediates of this size, not of the model's. */
const CHUNK = 2 ** 24;

/**
 * One AdamW step (Loshchilov and Hutter, 2019, as torch.optim.AdamW computes it) on a flat vector,
 * after scaling the gradient down to `maxGradientNorm`. Returns new tensors and disposes of nothing.
 *
 * @param step  1 for the first step: what the bias corrections are powers of
 */
export function applyAdamW(
  parameters: Tensor,
  gradient: Tensor,
  moments: MomentTensors,
  step: number,
  { learningRate, betas: [beta1, beta2], epsilon, weightDecay, maxGradientNorm }: AdamWOptions,
): { parameters: Tensor; moments: MomentTensors; gradientNorm: number } {
  const gradientNorm = Math.sqrt((tf.tidy(() => tf.sum(tf.square(gradient)).dataSync()) as Float32Array)[0]!);
  const scale =
    maxGradientNorm !== null && gradientNorm > maxGradientNorm ? maxGradientNorm / (gradientNorm + 1e-6) : 1;
  const size = gradient.shape[0];
  const chunk = (offset: number): Tensor[] =>
    tf.tidy(() => {
      const part = (x: Tensor): Tensor => (size <= CHUNK ? x : x.slice([offset], [Math.min(CHUNK, size - offset)]));
      const [theta, before] = [part(parameters), { first: part(moments.first), second: part(moments.second) }];
      const g = tf.mul(part(gradient), scale);
      const first = tf.add(tf.mul(before.first, beta1), tf.mul(g, 1 - beta1)) as Tensor;
      const second = tf.add(tf.mul(before.second, beta2), tf.mul(tf.square(g), 1 - beta2)) as Tensor;
      const denominator = tf.add(tf.div(tf.sqrt(second), Math.sqrt(1 - beta2 ** step)), epsilon);
      const update = tf.mul(tf.div(first, denominator), learningRate / (1 - beta1 ** step));
      const decayed = weightDecay === 0 ? theta : tf.mul(theta, 1 - learningRate * weightDecay);
      return [tf.sub(decayed, update) as Tensor, first, second];
    });
  const chunks = Array.from({ length: Math.ceil(size / CHUNK) }, (_, n) => chunk(n * CHUNK));
  const joined = (which: number): Tensor => {
    if (chunks.length === 1) return chunks[0]![which]!;
    const whole = tf.concat(chunks.map((parts) => parts[which]!) as never[], 0) as Tensor;
    tf.dispose(chunks.map((parts) => parts[which]!));
    return whole;
  };
  const [next, first, second] = [joined(0), joined(1), joined(2)];
  return { parameters: next, moments: { first, second }, gradientNorm };
}
