import { tf, type Tensor } from './backend.js';
import { headInput, type HeadGradients, type Prediction } from './head.js';
import type { TokenGradients, ValueHeadWeights } from './policy.js';
import type { FrozenWeights } from './transformer.js';

/** A value head on a device: V = w h + b, with h the last hidden state after the final norm. */
export interface DeviceValueHead {
  readonly weights: Tensor; // (H)
  readonly bias: number;
}

/** @throws {RangeError} if the head is of another model */
export function valueHeadOf(head: ValueHeadWeights, { finalNorm }: FrozenWeights): DeviceValueHead {
  const width = finalNorm.shape[0];
  if (head.length === 0) return { weights: tf.zeros([width]), bias: 0 };
  if (head.length !== width + 1)
    throw new RangeError(
      `the value head has ${head.length} numbers, this model's has ${width} weights and a bias: use the run that made it`,
    );
  return { weights: tf.tensor1d(head.slice(0, -1)), bias: head.at(-1)! };
}

/** V at the node of each prediction. @param hidden  (N, H) */
export function valuesAt(
  hidden: Tensor,
  predictions: readonly Prediction[],
  { weights, bias }: DeviceValueHead,
  frozen: FrozenWeights,
): Float32Array {
  return tf.tidy(() =>
    tf.add(tf.sum(tf.mul(headInput(hidden, nodesOf(predictions), frozen, 1), weights), 1), bias).dataSync(),
  ) as Float32Array;
}

/** Gradient of sum_p c_p V_p by the head's weights and its bias: sum_p c_p h_p, then sum_p c_p. @param hidden  (N, H) */
export function valueHeadGradient(
  hidden: Tensor,
  predictions: readonly Prediction[],
  coefficients: Float32Array,
  frozen: FrozenWeights,
): number[] {
  const byWeights = tf.tidy(() => {
    const states = headInput(hidden, nodesOf(predictions), frozen, 1);
    return tf.sum(tf.mul(states, tf.tensor2d(coefficients, [coefficients.length, 1])), 0).dataSync();
  }) as Float32Array;
  return [...byWeights, coefficients.reduce((total, c) => total + c, 0)];
}

const nodesOf = (predictions: readonly Prediction[]): Int32Array => Int32Array.from(predictions, ({ node }) => node);

/** A loss's gradient by tokens, in the order of the predictions. */
export function headGradients(
  { logProbs, entropies, values }: TokenGradients,
  head: DeviceValueHead | null,
): HeadGradients {
  const inOrder = (rows: readonly (readonly number[])[]): Float32Array => Float32Array.from(rows.flat());
  return {
    logProbs: inOrder(logProbs),
    ...(entropies && { entropies: inOrder(entropies) }),
    ...(head && values && { values: { coefficients: inOrder(values), weights: head.weights } }),
  };
}
