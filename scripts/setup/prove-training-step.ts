// node prove-training-step.js: one training step through the binding, its numbers checked. Exit status 0 if they are right.
// That a library loads proves little: under Node 23 it loaded, and every tensor operation of a run failed.
import { tf } from '../../activities/policy/backend.js';

/** Steps w of (w . x - y)^2 once by its gradient, at w = (1, 2), x = (3, 4), y = 10, rate 0.1: the error is 1. */
function step(): number[] {
  return tf.tidy(() => {
    const x = tf.tensor2d([[3, 4]]);
    const loss = tf.grad((w) =>
      tf
        .matMul(x, w.reshape([2, 1]))
        .sub(10)
        .square()
        .sum(),
    );
    const w = tf.tensor1d([1, 2]);
    const stepped = w.sub(loss(w).mul(0.1));
    // Through what the policy uses beside: slices, joins, gathers, a softmax.
    const again = tf.gather(
      tf.concat([stepped.slice([0], [1]), stepped.slice([1], [1])]),
      tf.tensor1d([0, 1], 'int32'),
    );
    return [...again.dataSync(), ...tf.softmax(tf.tensor1d([0, 0])).dataSync()];
  });
}

// The gradient is 2 * 1 * x = (6, 8), so w becomes (0.4, 1.2); the softmax of equals is one half each.
const expected = [0.4, 1.2, 0.5, 0.5];
const found = step();
if (found.length !== expected.length || found.some((value, i) => !(Math.abs(value - expected[i]!) < 1e-6))) {
  console.error(`a training step gave ${found.join(', ')}, expected ${expected.join(', ')}`);
  process.exit(1);
}
