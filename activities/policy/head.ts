import { softmaxLastAxis, tf, type Tensor } from './backend.js';
import { rmsScale, rmsNormBackward, type FrozenWeights } from './transformer.js';

/** A token whose log-prob is wanted: predicted at `node`, a row of the hidden states. */
export interface Prediction {
  readonly node: number;
  readonly token: number;
}

/** Rows of logits at once: V columns each, so 256 rows of a 49152 vocabulary are 50 MB. */
const CHUNK_ROWS = 256;

interface HeadChunk {
  /** First prediction of the chunk, and the unique nodes that its logits rows belong to. */
  readonly predictions: readonly { readonly row: number; readonly token: number; readonly index: number }[];
  readonly nodes: Int32Array;
  readonly probabilities: Tensor; // (rows, V)
}
export interface HeadForward {
  /** log p(token | node) at the temperature, nats, one per prediction. */
  readonly logProbs: Float32Array;
  readonly chunks: readonly HeadChunk[];
  readonly hidden: Tensor; // (N, H) input of the final norm
}

/**
 * Log-probs of tokens from the last layer's hidden states; the head is taken only at nodes that
 * predict something, each once however many tokens follow it.
 *
 * log p = z_t - lse(z), with lse = max z - log(max softmax(z)): no pass over V beyond the softmax.
 * @param hidden  (N, H)
 * @param keep    keep the probabilities for headBackward, V floats per node
 */
export function headForward(
  hidden: Tensor,
  predictions: readonly Prediction[],
  weights: FrozenWeights,
  temperature: number,
  keep: boolean,
): HeadForward {
  const nodes = [...new Set(predictions.map(({ node }) => node))].sort((a, b) => a - b);
  const rowOfNode = new Map(nodes.map((node, row) => [node, row]));
  const logProbs = new Float32Array(predictions.length);
  const chunks: HeadChunk[] = [];
  for (let begin = 0; begin < nodes.length; begin += CHUNK_ROWS) {
    const chunkNodes = Int32Array.from(nodes.slice(begin, begin + CHUNK_ROWS));
    const members = predictions.flatMap(({ node, token }, index) => {
      const row = rowOfNode.get(node)! - begin;
      return row >= 0 && row < chunkNodes.length ? [{ row, token, index }] : [];
    });
    const [probabilities, values] = tf.tidy(() => {
      const logits = logitsOf(hidden, chunkNodes, weights, temperature);
      const p = softmaxLastAxis(logits);
      const lse = tf.sub(tf.max(logits, 1), tf.log(tf.max(p, 1)));
      const at = tf.tensor2d(members.flatMap(({ row, token }) => [row, token]), [members.length, 2], 'int32');
      const rows = tf.tensor1d(members.map(({ row }) => row), 'int32');
      return [p, tf.sub(tf.gatherND(logits, at), tf.gather(lse, rows))] as [Tensor, Tensor];
    });
    const chunkLogProbs = values.dataSync() as Float32Array;
    members.forEach(({ index }, i) => (logProbs[index] = chunkLogProbs[i]!));
    values.dispose();
    if (keep) chunks.push({ predictions: members, nodes: chunkNodes, probabilities });
    else probabilities.dispose();
  }
  return { logProbs, chunks, hidden };
}

/** (rows, V) logits / temperature at some nodes. */
export function logitsOf(hidden: Tensor, nodes: Int32Array | null, weights: FrozenWeights, temperature: number): Tensor {
  const rows = nodes ? tf.gather(hidden, tf.tensor1d(nodes, 'int32')) : hidden;
  const scaled = tf.mul(rows, tf.mul(rmsScale(rows, weights.config.normEpsilon), 1 / temperature));
  return tf.matMul(tf.mul(scaled, weights.finalNorm) as never, weights.head as never, false, true);
}

/**
 * Gradient of sum_p c_p log p with respect to the hidden states: for each node
 * (sum_p c_p E[token_p] - (sum_p c_p) softmax E) / temperature, through the final norm.
 * @param coefficients  c, one per prediction
 * @returns             (N, H), zero where nothing is predicted
 */
export function headBackward(
  forward: HeadForward,
  coefficients: Float32Array,
  weights: FrozenWeights,
  temperature: number,
): Tensor {
  const { hidden, chunks } = forward;
  return tf.tidy(() => {
    const parts = chunks.map(({ predictions, nodes, probabilities }) => {
      const rows = nodes.length;
      const totals = new Float32Array(rows);
      for (const { row, index } of predictions) totals[row]! += coefficients[index]!;
      const expected = tf.mul(tf.matMul(probabilities as never, weights.head as never), tf.tensor2d(totals, [rows, 1]));
      const targets = tf.mul(
        tf.gather(weights.head, tf.tensor1d(predictions.map(({ token }) => token), 'int32')),
        tf.tensor2d(predictions.map(({ index }) => coefficients[index]!), [predictions.length, 1]),
      );
      const wanted = tf.unsortedSegmentSum(targets, tf.tensor1d(predictions.map(({ row }) => row), 'int32'), rows);
      const dNormed = tf.mul(tf.sub(wanted, expected), 1 / temperature) as Tensor;
      const x = tf.gather(hidden, tf.tensor1d(nodes, 'int32'));
      return rmsNormBackward(dNormed, x, rmsScale(x, weights.config.normEpsilon), weights.finalNorm);
    });
    const nodes = tf.tensor1d(Int32Array.from(chunks.flatMap((chunk) => [...chunk.nodes])), 'int32');
    return tf.unsortedSegmentSum(tf.concat(parts, 0), nodes, hidden.shape[0]!);
  });
}

export const disposeHead = ({ chunks }: HeadForward): void => tf.dispose(chunks.map((chunk) => chunk.probabilities));
