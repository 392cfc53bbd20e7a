import { batchMatMul, matMulMixed, softmaxLastAxis, tf, type Tensor } from './backend.js';

/**
 * The operations that decoding is written in: on tensors at once (`eager`), or on the names of a graph's nodes
 * (graph-ops.ts), which TensorFlow then runs as a whole.
 */
export interface Ops<T> {
  add(a: T, b: T | number): T;
  mul(a: T, b: T | number): T;
  neg(x: T): T;
  square(x: T): T;
  rsqrt(x: T): T;
  sigmoid(x: T): T;
  /** Over the last axis, which stays as 1. */
  mean(x: T): T;
  /** Over the last axis. */
  softmax(x: T): T;
  /** x W^T: (n, in), (out, in) -> (n, out). W may be bfloat16. */
  linear(x: T, weight: T): T;
  /** Product of the last two axes, or with those of b exchanged. */
  matMul(a: T, b: T, exchangeB: boolean): T;
  gather(x: T, indices: T, axis: number): T;
  transpose(x: T, permutation: readonly number[]): T;
  concat(parts: readonly T[], axis: number): T;
  reshape(x: T, shape: Sizes<T>): T;
  /** Pieces of these sizes; `count` is how many. */
  split(x: T, sizes: Sizes<T>, axis: number, count: number): T[];
}

/** Sizes that are known, or that come with each run. */
export type Sizes<T> = readonly number[] | T;

const known = (sizes: Sizes<Tensor>): number[] => {
  if (!Array.isArray(sizes)) throw new TypeError('eager operations take sizes as numbers');
  return [...(sizes as readonly number[])];
};

export const eager: Ops<Tensor> = {
  add: (a, b) => tf.add(a, b),
  mul: (a, b) => tf.mul(a, b),
  neg: (x) => tf.neg(x),
  square: (x) => tf.square(x),
  rsqrt: (x) => tf.rsqrt(x),
  sigmoid: (x) => tf.sigmoid(x),
  mean: (x) => tf.mean(x, -1, true),
  softmax: softmaxLastAxis,
  linear: (x, weight) => matMulMixed(x, weight, false, true),
  matMul: (a, b, exchangeB) => batchMatMul(a, b, false, exchangeB),
  gather: (x, indices, axis) => tf.gather(x, indices, axis),
  transpose: (x, permutation) => tf.transpose(x, [...permutation]),
  concat: (parts, axis) => tf.concat([...parts], axis),
  reshape: (x, shape) => x.reshape(known(shape)),
  split: (x, sizes, axis) => tf.split(x, known(sizes), axis),
};

/** 1 / rms of the last axis, which stays as 1. */
export const rmsScaleBy = <T>(ops: Ops<T>, x: T, epsilon: number): T =>
  ops.rsqrt(ops.add(ops.mean(ops.square(x)), epsilon));

/**
 * Rotates the two halves of the last axis of (N, heads, D): x cos + (-x2, x1) sin. `sign` -1 is the inverse, and so the
 * backward pass.
 */
export function rotateBy<T>(ops: Ops<T>, x: T, cos: T, sin: T, dimension: number, sign: 1 | -1): T {
  const [first, second] = ops.split(x, [dimension / 2, dimension / 2], 2, 2) as [T, T];
  const turned = sign === 1 ? ops.concat([ops.neg(second), first], 2) : ops.concat([second, ops.neg(first)], 2);
  return ops.add(ops.mul(x, cos), ops.mul(turned, sin));
}
