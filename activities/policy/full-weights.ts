import { matMulMixed, tf, castToBf16, type Tensor } from './backend.js';
import { pLogP, type HeadForward, type HeadGradients } from './head.js';
import { moduleNames, bf16Modules, type ModelShape, type ModuleName } from './model-config.js';
import type { PackedTries } from './packed-tries.js';
import {
  backwardWeight,
  castFor,
  usesBf16,
  rmsScale,
  type FrozenWeights,
  type LayerTraining,
  type LayerWeights,
} from './transformer.js';
import { EMBEDDING, FINAL_NORM, HEAD, moduleTensor, normTensor, tensorShapes } from './weights/hugging-face.js';
import type { NormName } from './weights/weight-reader.js';

/**
 * Full fine-tuning: every weight of the model is trainable. They live in one flat fp32 vector, of
 * which the passes take views, as their gradient and AdamW's moments do.
 */
export interface WeightTensor {
  /** As in a file of transformers. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Where its values start in the flat vector. */
  readonly offset: number;
}
/** Weights that are stored together: the embedding, each layer, the final norm with the head. */
export interface TensorGroup {
  readonly tensors: readonly WeightTensor[];
  readonly offset: number;
  readonly parameters: number;
}

/** TensorFlow's kernels index with 32 bits. */
const MOST_PARAMETERS = 2 ** 31 - 1;

/**
 * Every weight in the one order in which they are stored and stepped.
 * @throws {RangeError} if the model is too large to be trained in full
 */
export function weightLayout(config: ModelShape): {
  tensors: WeightTensor[];
  groups: TensorGroup[];
  parameters: number;
} {
  const groups: TensorGroup[] = [];
  let offset = 0;
  const groupOf = (name: string): number => {
    const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1];
    return layer === undefined ? (name === EMBEDDING ? 0 : config.layers + 1) : Number(layer) + 1;
  };
  for (const [name, shape] of tensorShapes(config)) {
    const count = sizeOf(shape);
    const before = groups[groupOf(name)];
    const tensors = [...(before?.tensors ?? []), { name, shape, offset }];
    groups[groupOf(name)] = {
      tensors,
      offset: before?.offset ?? offset,
      parameters: (before?.parameters ?? 0) + count,
    };
    offset += count;
  }
  if (offset > MOST_PARAMETERS)
    throw new RangeError(
      `training "full" holds at most ${MOST_PARAMETERS} parameters, this model has ${offset}: train it with "lora"`,
    );
  return { tensors: groups.flatMap(({ tensors }) => tensors), groups, parameters: offset };
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** A model's weights out of tensors by name. */
function weightsOf(config: ModelShape, tensorOf: (name: string) => Tensor): FrozenWeights {
  const embedding = tensorOf(EMBEDDING);
  return {
    config,
    embedding,
    head: config.tiedEmbeddings ? embedding : tensorOf(HEAD),
    finalNorm: tensorOf(FINAL_NORM),
    layers: Array.from({ length: config.layers }, (_, layer): LayerWeights => {
      const modulesWith = (part: 'weight' | 'bias', modules: readonly ModuleName[]) =>
        Object.fromEntries(modules.map((module) => [module, tensorOf(moduleTensor(layer, module, part))]));
      return {
        attentionNorm: tensorOf(normTensor(layer, 'attention')),
        mlpNorm: tensorOf(normTensor(layer, 'mlp')),
        modules: modulesWith('weight', moduleNames) as LayerWeights['modules'],
        biases: modulesWith('bias', config.biases),
        queryNorm: config.queryKeyNorm ? tensorOf(normTensor(layer, 'query')) : null,
        keyNorm: config.queryKeyNorm ? tensorOf(normTensor(layer, 'key')) : null,
      };
    }),
  };
}

/**
 * The weights as views of their flat vector, and the views, which the caller disposes of.
 * @param narrow  copies in bfloat16 instead, of what `narrowModules` names
 */
export function viewsOf(
  flat: Tensor,
  config: ModelShape,
  narrow: boolean,
): { weights: FrozenWeights; views: Tensor[] } {
  const rounded = new Set(
    narrow
      ? Array.from({ length: config.layers }, (_, layer) =>
          bf16Modules.map((module) => moduleTensor(layer, module, 'weight')),
        ).flat()
      : [],
  );
  const views = new Map(
    weightLayout(config).tensors.map(({ name, shape, offset }) => [
      name,
      tf.tidy(() => {
        const view = flat.slice([offset], [sizeOf(shape)]).reshape([...shape]);
        return rounded.has(name) ? castToBf16(view) : view;
      }),
    ]),
  );
  return { weights: weightsOf(config, (name) => views.get(name)!), views: [...views.values()] };
}

/** The flat vector of a model's weights: a copy. */
export function flatWeights(weights: FrozenWeights): Tensor {
  const { config, embedding, head, finalNorm, layers } = weights;
  const named = new Map<string, Tensor>([
    [EMBEDDING, embedding],
    [FINAL_NORM, finalNorm],
    [HEAD, head],
  ]);
  layers.forEach((layer, l) => {
    named.set(normTensor(l, 'attention'), layer.attentionNorm).set(normTensor(l, 'mlp'), layer.mlpNorm);
    if (layer.queryNorm && layer.keyNorm)
      named.set(normTensor(l, 'query'), layer.queryNorm).set(normTensor(l, 'key'), layer.keyNorm);
    for (const module of moduleNames) named.set(moduleTensor(l, module, 'weight'), layer.modules[module]);
    for (const module of config.biases) named.set(moduleTensor(l, module, 'bias'), layer.biases[module]!);
  });
  return flattened(named, config);
}

/** Gradients by name, each of a tensor's shape. */
export type NamedGradients = Record<string, Tensor>;

export const flattened = (named: ReadonlyMap<string, Tensor>, config: ModelShape): Tensor =>
  tf.tidy(() =>
    tf.concat(
      weightLayout(config).tensors.map(({ name }) => named.get(name)!.flatten()),
      0,
    ),
  );

/** All weights of a layer: dW = dY^T x, db = sum dY, and of a norm's gain sum d x / rms(x). */
export function weightTraining(weights: LayerWeights, layer: number): LayerTraining<NamedGradients> {
  const gradients: NamedGradients = {};
  return {
    gradients,
    linear(dY, x, module) {
      const d = castFor(weights)(dY);
      gradients[moduleTensor(layer, module, 'weight')] = matMulMixed(d, x, true, false);
      if (weights.biases[module]) gradients[moduleTensor(layer, module, 'bias')] = tf.sum(dY, 0);
      return matMulMixed(d, backwardWeight(weights, module), false, false);
    },
    gain(which: NormName, d, x, scale) {
      gradients[normTensor(layer, which)] = tf.tidy(() =>
        tf.sum(
          tf.mul(tf.mul(d, x), scale),
          d.shape.slice(0, -1).map((_, axis) => axis),
        ),
      );
    },
  };
}

/**
 * Gradients of head and final norm by sum_p (c_p log p + e_p entropy_p + v_p V_p). With x^ = x / rms(x) of a predicting node and
 * delta = (sum_p c_p onehot(token_p) - (sum_p c_p) softmax - e softmax (log softmax + entropy)) / temperature its gradient by the logits,
 * Z = sum over nodes of delta x^T, (V, H): the head's is Z gain, the gain's the sum over V of Z head.
 * So nothing passes over nodes x V but one matrix product (two with entropies). V reaches the gain alone: v w x^.
 */
export function headWeightGradients(
  { hidden, chunks }: HeadForward,
  { logProbs: coefficients, entropies: ofEntropies, values }: HeadGradients,
  weights: FrozenWeights,
  temperature: number,
): { head: Tensor; finalNorm: Tensor } {
  const { vocabulary, normEpsilon } = weights.config;
  return tf.tidy(() => {
    const normalised = (nodes: Int32Array): Tensor => {
      const x = tf.gather(hidden, tf.tensor1d(nodes, 'int32'));
      return tf.mul(x, rmsScale(x, normEpsilon));
    };
    const predicted = chunks.flatMap(({ predictions, nodes }) =>
      predictions.map(({ row, token, index }) => ({ node: nodes[row]!, token, c: coefficients[index]! })),
    );
    const targets = tf.mul(
      normalised(Int32Array.from(predicted, ({ node }) => node)),
      tf.tensor2d(
        predicted.map(({ c }) => c),
        [predicted.length, 1],
      ),
    );
    const factor = (y: Tensor): Tensor => (usesBf16(weights.layers[0]!) ? castToBf16(y) : y);
    let z: Tensor = tf.unsortedSegmentSum(
      targets,
      tf.tensor1d(
        predicted.map(({ token }) => token),
        'int32',
      ),
      vocabulary,
    );
    let byGain: Tensor = tf.zeros([weights.finalNorm.shape[0]]);
    for (const { predictions, nodes, probabilities, entropies } of chunks) {
      const perNode = (of: Float32Array): Float32Array => {
        const totals = new Float32Array(nodes.length);
        for (const { row, index } of predictions) totals[row]! += of[index]!;
        return totals;
      };
      const column = (of: Float32Array): Tensor => tf.tensor2d(of, [nodes.length, 1]);
      const e = ofEntropies && perNode(ofEntropies);
      const totals = perNode(coefficients).map((c, row) => c + (e ? e[row]! * entropies[row]! : 0));
      const before = z;
      z = tf.tidy(() => {
        const x = normalised(nodes);
        const ofTokens = tf.sub(
          before,
          matMulMixed(probabilities, factor(tf.mul(x, column(totals))), true, false),
        ) as Tensor;
        return e
          ? tf.sub(ofTokens, matMulMixed(pLogP(probabilities), factor(tf.mul(x, column(e))), true, false))
          : ofTokens;
      });
      before.dispose();
      if (values)
        byGain = tf.add(
          byGain,
          tf.mul(values.weights, tf.sum(tf.mul(normalised(nodes), column(perNode(values.coefficients))), 0)),
        );
    }
    const scaled = tf.mul(z, 1 / temperature) as Tensor;
    return {
      head: tf.mul(scaled, weights.finalNorm),
      finalNorm: tf.add(byGain, tf.sum(tf.mul(scaled, weights.head), 0)),
    } as never;
  });
}

/** Gradient of the embedding by the first layer's input, with that of the head where they are one matrix. (V, H) */
export const embeddingGradient = (
  dInput: Tensor,
  { tokens }: PackedTries,
  config: ModelShape,
  head: Tensor,
): NamedGradients =>
  tf.tidy(() => {
    const own = tf.unsortedSegmentSum(dInput, tokens as never, config.vocabulary) as Tensor;
    return (
      config.tiedEmbeddings ? { [EMBEDDING]: tf.add(own, head) } : { [EMBEDDING]: own, [HEAD]: head.clone() }
    ) as never;
  });
