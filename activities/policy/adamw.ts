import { tf, type Tensor } from './backend.js';
import type { AdamWOptions } from './policy.js';

/** First and second moment of every trainable parameter, flat in the adapter's layout. (P) each */
export interface Moments {
  readonly first: Tensor;
  readonly second: Tensor;
}

/**
 * One AdamW step (Loshchilov and Hutter, 2019, as torch.optim.AdamW computes it) on a flat vector,
 * after scaling the gradient down to `maxGradientNorm`. Returns new tensors and disposes of nothing.
 *
 * @param step  1 for the first step: what the bias corrections are powers of
 */
export function adamWStep(
  parameters: Tensor,
  gradient: Tensor,
  moments: Moments,
  step: number,
  { learningRate, betas: [beta1, beta2], epsilon, weightDecay, maxGradientNorm }: AdamWOptions,
): { parameters: Tensor; moments: Moments; gradientNorm: number } {
  const gradientNorm = Math.sqrt((tf.tidy(() => tf.sum(tf.square(gradient)).dataSync()) as Float32Array)[0]!);
  const scale = maxGradientNorm !== null && gradientNorm > maxGradientNorm ? maxGradientNorm / (gradientNorm + 1e-6) : 1;
  const [next, first, second] = tf.tidy(() => {
    const g = tf.mul(gradient, scale);
    const first = tf.add(tf.mul(moments.first, beta1), tf.mul(g, 1 - beta1));
    const second = tf.add(tf.mul(moments.second, beta2), tf.mul(tf.square(g), 1 - beta2));
    const denominator = tf.add(tf.div(tf.sqrt(second), Math.sqrt(1 - beta2 ** step)), epsilon);
    const update = tf.mul(tf.div(first, denominator), learningRate / (1 - beta1 ** step));
    const decayed = weightDecay === 0 ? parameters : tf.mul(parameters, 1 - learningRate * weightDecay);
    return [tf.sub(decayed, update), first, second] as [Tensor, Tensor, Tensor];
  });
  return { parameters: next, moments: { first, second }, gradientNorm };
}
