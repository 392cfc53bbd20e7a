import { tf, type Tensor } from './backend.js';
import type { Theta } from './decode-weights.js';
import {
  embeddingGradient,
  flattened,
  headWeightGradients,
  weightTraining,
  type NamedGradients,
} from './full-weights.js';
import { disposeHead, headBackward, headForward, type Prediction } from './head.js';
import type { ModelShape } from './model-config.js';
import type { LossGradient, TokenSequence } from './policy.js';
import { disposePackedTries, packTries, type PackedTries } from './packed-tries.js';
import {
  adapterTraining,
  layerBackward,
  layerForward,
  savedTensors,
  type LayerAdapter,
  type LayerOutput,
} from './transformer.js';
import { microBatches, packTrie, prefixGroupsOf } from './trie.js';
import { headGradients, valueHeadGradient, valuesAt, type DeviceValueHead } from './value-head.js';
import { FINAL_NORM } from './weights/hugging-face.js';
/** Tries that go through the model together. */
export interface MicroBatch {
  readonly tries: readonly ReturnType<typeof packTrie>[];
  /** Indices of the sequences, in the order of the tries' predictors. */
  readonly sequences: readonly number[];
}

/** @throws {RangeError} naming an id that the model has not */
export function checkIds(lists: readonly (readonly number[])[], { vocabulary }: ModelShape): void {
  for (const ids of lists) {
    const bad = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabulary));
    if (bad !== undefined)
      throw new RangeError(
        `token id ${bad} is outside the vocabulary of ${vocabulary}: were the ids made by this model's tokenizer?`,
      );
  }
}

/**
 * Sequences as tries, in micro-batches of at most `budget` nodes.
 * @throws {RangeError} on an id outside the vocabulary, or a sequence longer than the model's context
 */
export function batchesOf(sequences: readonly TokenSequence[], config: ModelShape, budget: number): MicroBatch[] {
  checkIds(
    sequences.flatMap(({ promptIds, responseIds }) => [promptIds, responseIds]),
    config,
  );
  const { contextLength } = config;
  // The last token predicts nothing and needs no place of its own.
  const long = sequences.findIndex(
    ({ promptIds, responseIds }) => promptIds.length + responseIds.length - 1 > contextLength,
  );
  if (long >= 0) {
    const { prefixGroup, promptIds, responseIds } = sequences[long]!;
    throw new RangeError(
      `sequence ${long} of prefix group ${prefixGroup}: a prompt of ${promptIds.length} and a response of ${responseIds.length} tokens exceed the model's context of ${contextLength}: shorten them`,
    );
  }
  const rows = prefixGroupsOf(sequences);
  const tries = rows.map((row) => packTrie(row.map((i) => sequences[i]!)));
  return microBatches(
    tries.map((trie) => trie.tokens.length),
    budget,
  ).map((batch) => ({
    tries: batch.map((row) => tries[row]!),
    sequences: batch.flatMap((row) => rows[row]!),
  }));
}

/** A micro-batch on the device. */
interface PackedBatch {
  readonly packed: PackedTries;
  /** Nodes that predict something: only their output of the last layer is asked for. (P) int32 */
  readonly predicting: Tensor;
  /** What the rows of that output predict, by sequence. */
  readonly predictions: readonly (readonly Prediction[])[];
}

function packBatch(
  sequences: readonly TokenSequence[],
  { tries, sequences: members }: MicroBatch,
  config: ModelShape,
): PackedBatch {
  const packed = packTries(config, tries);
  const predictors = tries.flatMap((trie, r) =>
    trie.predictors.map((nodes) => nodes.map((node) => packed.starts[r]! + node)),
  );
  const nodes = Int32Array.from(new Set(predictors.flatMap((own) => [...own]))).sort();
  const rowOf = new Map(Array.from(nodes, (node, row) => [node, row]));
  return {
    packed,
    predicting: tf.tensor1d(nodes, 'int32'),
    predictions: members.map((i, n) =>
      sequences[i]!.responseIds.map((token, l) => ({ node: rowOf.get(predictors[n]![l]!)!, token })),
    ),
  };
}

const disposeBatch = ({ packed, predicting }: PackedBatch): void => {
  disposePackedTries(packed);
  predicting.dispose();
};

function forward(
  x: Tensor,
  layer: number,
  { weights: { config, layers }, adapter }: Theta,
  { packed, predicting }: PackedBatch,
  save: boolean,
): LayerOutput {
  const isLast = layer === config.layers - 1;
  return layerForward(
    x,
    layers[layer]!,
    adapter && { scale: adapter.scale, layer: adapter.layers[layer]! },
    packed,
    config,
    { save, rows: isLast ? predicting : null },
  );
}

/**
 * Gives a micro-batch's last hidden states where something is predicted, (P, H), to `read`, keeping nothing of the layers below, and
 * nothing afterwards.
 */
export async function withHidden(
  sequences: readonly TokenSequence[],
  microBatch: MicroBatch,
  theta: Theta,
  read: (hidden: Tensor, predictions: PackedBatch['predictions']) => void,
): Promise<void> {
  const batch = packBatch(sequences, microBatch, theta.weights.config);
  let hidden: Tensor | null = null;
  try {
    hidden = lastHidden(batch, theta);
    read(hidden, batch.predictions);
  } finally {
    hidden?.dispose();
    disposeBatch(batch);
  }
}

function lastHidden(batch: PackedBatch, theta: Theta): Tensor {
  return tf.tidy(() => {
    let x: Tensor = tf.gather(theta.weights.embedding, batch.packed.tokens);
    for (let layer = 0; layer < theta.weights.config.layers; layer++) {
      const { output } = forward(x, layer, theta, batch, false);
      x.dispose();
      x = output;
    }
    return x;
  });
}

/**
 * Gradient of a loss, given by its derivatives by the log-probs, by the trainable parameters: forward through all layers, keeping
 * what the backward pass needs, the head where something is predicted, and back layer by layer. A failure leaves nothing behind.
 *
 * @param flattenedAdapter  the flat gradient of an adapter; not used where the weights themselves are trained
 */
export async function gradientOf(
  sequences: readonly TokenSequence[],
  microBatch: MicroBatch,
  gradient: LossGradient,
  { theta, valueHead }: { readonly theta: Theta; readonly valueHead: DeviceValueHead | null },
  temperature: number,
  flattenedAdapter: (gradients: readonly LayerAdapter[]) => Tensor,
): Promise<{ flat: Tensor; batchLogProbs: number[][]; byValueHead: number[] | null }> {
  const { weights, adapter } = theta;
  const { config } = weights;
  const batch = packBatch(sequences, microBatch, config);
  const { packed, predictions } = batch;
  const outputs: LayerOutput[] = [];
  const inputs: Tensor[] = [];
  let head: ReturnType<typeof headForward> | null = null;
  let d: Tensor | null = null;
  let top: ReturnType<typeof headWeightGradients> | null = null;
  let bottom: NamedGradients | null = null;
  const gradients: (LayerAdapter | NamedGradients)[] = [];
  try {
    let x: Tensor = tf.tidy(() => tf.gather(weights.embedding, packed.tokens));
    inputs.push(x);
    for (let layer = 0; layer < config.layers; layer++) {
      const done = forward(x, layer, theta, batch, true);
      outputs.push(done);
      inputs.push((x = done.output));
    }
    const predicted = predictions.flat();
    head = headForward(x, predicted, weights, temperature, true);
    const batchLogProbs = unflatten(head.logProbs, microBatch.sequences, predictions);
    const given = await gradient(microBatch.sequences, batchLogProbs, {
      entropies: unflatten(head.entropies, microBatch.sequences, predictions),
      values: valueHead && unflatten(valuesAt(x, predicted, valueHead, weights), microBatch.sequences, predictions),
    });
    const byOutput = headGradients(Array.isArray(given) ? { logProbs: given } : given, valueHead);
    const byValueHead =
      valueHead &&
      valueHeadGradient(x, predicted, byOutput.values?.coefficients ?? new Float32Array(predicted.length), weights);
    d = headBackward(head, byOutput, weights, temperature);
    if (!adapter) top = headWeightGradients(head, byOutput, weights, temperature);
    disposeHead(head);
    for (let layer = config.layers - 1; layer >= 0; layer--) {
      const saved = outputs[layer]!.saved!;
      const training = adapter
        ? adapterTraining(weights.layers[layer]!, saved, adapter, adapter.layers[layer]!)
        : weightTraining(weights.layers[layer]!, layer);
      const back: { dInput: Tensor; gradients: LayerAdapter | NamedGradients } = layerBackward<
        LayerAdapter | NamedGradients
      >(d, saved, weights.layers[layer]!, training, packed, config);
      tf.dispose([d, ...savedTensors(saved), inputs.pop()!]);
      outputs.pop();
      d = back.dInput;
      gradients[layer] = back.gradients;
    }
    if (top) bottom = embeddingGradient(d, packed, config, top.head);
    const flat = adapter
      ? flattenedAdapter(gradients as LayerAdapter[])
      : flattened(
          new Map(
            Object.entries(
              Object.assign(
                { [FINAL_NORM]: top!.finalNorm },
                bottom,
                ...(gradients as NamedGradients[]),
              ) as NamedGradients,
            ),
          ),
          config,
        );
    return { flat, batchLogProbs, byValueHead };
  } finally {
    d?.dispose();
    if (head) disposeHead(head);
    tf.dispose([top, bottom, gradients] as never);
    tf.dispose([...outputs.flatMap(({ saved }) => (saved ? savedTensors(saved) : [])), ...inputs]);
    disposeBatch(batch);
  }
}

/** Values of predictions one after another as a list per sequence. */
export function unflatten(
  flat: Float32Array,
  members: readonly number[],
  predictions: readonly (readonly unknown[])[],
): number[][] {
  let at = 0;
  return members.map((_, n) => {
    const length = predictions[n]!.length;
    const part = [...flat.subarray(at, at + length)];
    at += length;
    return part;
  });
}
