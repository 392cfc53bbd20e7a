import { matMul, softmaxLastAxis, tf, type Tensor } from './backend.js';
import { rmsScale, rmsNormBackward, type FrozenWeights } from './transformer.js';

/** A token whose log-prob is wanted: predicted at `node`, a row of the hidden states that the head is given. */
export interface Prediction {
  readonly node: number;
  readonly token: number;
}

/** dLoss by what the head gives, one number per prediction. */
export interface HeadGradients {
  readonly logProbs: Float32Array;
  readonly entropies?: Float32Array;
  /** By V = w h + b of a value head with weights w, (H). */
  readonly values?: { readonly coefficients: Float32Array; readonly weights: Tensor };
}

/** p log p, with 0 where p has no fp32 value of its own: below the smallest normal one. */
export const pLogP = (p: Tensor): Tensor => tf.mul(p, tf.log(tf.maximum(p, 1.2e-38)));

/** Rows of logits at once: V columns each, so 256 rows of a 49152 vocabulary are 50 MB. */
const CHUNK_ROWS = 256;

interface HeadChunk {
  /** First prediction of the chunk, and the unique nodes that its logits rows belong to. */
  readonly predictions: readonly { readonly row: number; readonly token: number; readonly index: number }[];
  readonly nodes: Int32Array;
  readonly probabilities: Tensor; // (rows, V)
  readonly expected: Tensor; // (rows, H), sum_v p_v W_v
  readonly entropies: Float32Array; // (rows)
}
export interface HeadForward {
  /** log p(token | node) at the temperature, nats, one per prediction. */
  readonly logProbs: Float32Array;
  /** Entropy at the node of each prediction, nats; only if probabilities are kept. */
  readonly entropies: Float32Array;
  readonly chunks: readonly HeadChunk[];
  readonly hidden: Tensor; // (N, H) input of the final norm
}

/**
 * Log-probs of tokens from the last layer's hidden states; the head is taken only at nodes that
 * predict something, each once however many tokens follow it.
 *
 * log p = z_t - lse(z), with lse = max z - log(max softmax(z)), and the entropy lse(z) - sum_v p_v z_v =
 * lse(z) - (sum_v p_v W_v) x: no pass over V beyond the softmax.
 * @param hidden  (N, H)
 * @param keep    keep the probabilities for headBackward, V floats per node, and take the entropies
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
  const entropies = new Float32Array(keep ? predictions.length : 0);
  const chunks: HeadChunk[] = [];
  for (let begin = 0; begin < nodes.length; begin += CHUNK_ROWS) {
    const chunkNodes = Int32Array.from(nodes.slice(begin, begin + CHUNK_ROWS));
    const members = predictions.flatMap(({ node, token }, index) => {
      const row = rowOfNode.get(node)! - begin;
      return row >= 0 && row < chunkNodes.length ? [{ row, token, index }] : [];
    });
    const [probabilities, values, expected, entropy] = tf.tidy(() => {
      const x = headInput(hidden, chunkNodes, weights, temperature);
      const logits = matMul(x, weights.head, false, true);
      const p = softmaxLastAxis(logits);
      const lse = tf.sub(tf.max(logits, 1), tf.log(tf.max(p, 1)));
      const at = tf.tensor2d(
        members.flatMap(({ row, token }) => [row, token]),
        [members.length, 2],
        'int32',
      );
      const rows = tf.tensor1d(
        members.map(({ row }) => row),
        'int32',
      );
      const chosen = tf.sub(tf.gatherND(logits, at), tf.gather(lse, rows));
      if (!keep) return [p, chosen] as Tensor[];
      const expected = matMul(p, weights.head, false, false);
      return [p, chosen, expected, tf.sub(lse, tf.sum(tf.mul(expected, x), 1))] as Tensor[];
    }) as [Tensor, Tensor, Tensor?, Tensor?];
    const chunkLogProbs = values.dataSync() as Float32Array;
    members.forEach(({ index }, i) => (logProbs[index] = chunkLogProbs[i]!));
    values.dispose();
    if (!expected || !entropy) {
      probabilities.dispose();
      continue;
    }
    const chunkEntropies = entropy.dataSync() as Float32Array;
    entropy.dispose();
    for (const { row, index } of members) entropies[index] = chunkEntropies[row]!;
    chunks.push({ predictions: members, nodes: chunkNodes, probabilities, expected, entropies: chunkEntropies });
  }
  return { logProbs, entropies, chunks, hidden };
}

/** (rows, V) logits / temperature at some nodes. */
export const logitsOf = (
  hidden: Tensor,
  nodes: Int32Array | null,
  weights: FrozenWeights,
  temperature: number,
): Tensor => matMul(headInput(hidden, nodes, weights, temperature), weights.head, false, true);

/** (rows, H): the final norm of the hidden states at some nodes, / temperature. */
export function headInput(
  hidden: Tensor,
  nodes: Int32Array | null,
  weights: FrozenWeights,
  temperature: number,
): Tensor {
  const rows = nodes ? tf.gather(hidden, tf.tensor1d(nodes, 'int32')) : hidden;
  const scaled = tf.mul(rows, tf.mul(rmsScale(rows, weights.config.normEpsilon), 1 / temperature));
  return tf.mul(scaled, weights.finalNorm);
}

/**
 * Gradient of sum_p (c_p log p + e_p entropy_p + v_p V_p) with respect to the hidden states: for each node
 * (sum_p c_p E[token_p] - (sum_p c_p) softmax E) / temperature, through the final norm. Of the entropy H by the logits it is
 * -p (log p + H); of V by the normed state, w.
 * @returns  (N, H), zero where nothing is predicted
 */
export function headBackward(
  forward: HeadForward,
  { logProbs: coefficients, entropies: ofEntropies, values }: HeadGradients,
  weights: FrozenWeights,
  temperature: number,
): Tensor {
  const { hidden, chunks } = forward;
  return tf.tidy(() => {
    const parts = chunks.map(({ predictions, nodes, probabilities, expected: meanRow, entropies }) => {
      const rows = nodes.length;
      const perNode = (of: Float32Array): Float32Array => {
        const totals = new Float32Array(rows);
        for (const { row, index } of predictions) totals[row]! += of[index]!;
        return totals;
      };
      const column = (of: Float32Array): Tensor => tf.tensor2d(of, [rows, 1]);
      const totals = perNode(coefficients);
      const e = ofEntropies ? perNode(ofEntropies) : new Float32Array(rows);
      const expected = tf.mul(meanRow, column(totals.map((c, row) => c + e[row]! * entropies[row]!)));
      const targets = tf.mul(
        tf.gather(
          weights.head,
          tf.tensor1d(
            predictions.map(({ token }) => token),
            'int32',
          ),
        ),
        tf.tensor2d(
          predictions.map(({ index }) => coefficients[index]!),
          [predictions.length, 1],
        ),
      );
      const wanted = tf.unsortedSegmentSum(
        targets,
        tf.tensor1d(
          predictions.map(({ row }) => row),
          'int32',
        ),
        rows,
      );
      let dNormed = tf.mul(tf.sub(wanted, expected), 1 / temperature) as Tensor;
      if (ofEntropies) {
        dNormed = tf.sub(
          dNormed,
          tf.mul(matMul(pLogP(probabilities), weights.head, false, false), column(e.map((c) => c / temperature))),
        );
      }
      if (values) dNormed = tf.add(dNormed, tf.mul(column(perNode(values.coefficients)), values.weights));
      const x = tf.gather(hidden, tf.tensor1d(nodes, 'int32'));
      return rmsNormBackward(dNormed, x, rmsScale(x, weights.config.normEpsilon), weights.finalNorm);
    });
    const nodes = tf.tensor1d(Int32Array.from(chunks.flatMap((chunk) => [...chunk.nodes])), 'int32');
    return tf.unsortedSegmentSum(tf.concat(parts, 0), nodes, hidden.shape[0]);
  });
}

export const disposeHead = ({ chunks }: HeadForward): void =>
  tf.dispose(chunks.flatMap(({ probabilities, expected }) => [probabilities, expected]));
