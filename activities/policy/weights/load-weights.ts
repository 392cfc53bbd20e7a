import { tf, castToBf16, type Tensor } from '../backend.js';
import { moduleNames, moduleShape, bf16Modules, type ModuleName } from '../model-config.js';
import type { OnProgress } from '../policy.js';
import type { FrozenWeights, LayerWeights } from '../transformer.js';
import type { NormName, WeightReader } from './weight-reader.js';

/**
 * Moves a model onto the device, tensor by tensor; if that fails half way, nothing of it stays there.
 * @param narrow  hold in bfloat16 what `narrowModules` names; all else is fp32
 */
export async function loadWeights(
  reader: WeightReader,
  narrow: boolean,
  onProgress: OnProgress,
): Promise<FrozenWeights> {
  const { config } = reader;
  const { hidden, vocabulary, headDimension } = config;
  const loaded: Tensor[] = [];
  const onDevice = (values: Float32Array, shape: readonly number[]): Tensor => {
    const tensor = tf.tensor(values, [...shape]);
    loaded.push(tensor);
    // The binding keeps our array until the tensor's first operation; now it can go before the next one is read.
    tf.tidy(
      () =>
        void tf.slice(
          tensor,
          shape.map(() => 0),
          shape.map(() => 1),
        ),
    );
    return tensor;
  };
  const matrix = (values: Float32Array, shape: readonly number[], module: ModuleName): Tensor => {
    if (!narrow || !bf16Modules.includes(module)) return onDevice(values, shape);
    const whole = tf.tensor(values, [...shape]);
    const tensor = castToBf16(whole);
    whole.dispose();
    loaded.push(tensor);
    return tensor;
  };
  try {
    const layers: LayerWeights[] = [];
    for (let layer = 0; layer < config.layers; layer++) {
      const modules = {} as Record<ModuleName, Tensor>;
      const biases: Partial<Record<ModuleName, Tensor>> = {};
      for (const module of moduleNames) {
        const shape = moduleShape(config, module);
        modules[module] = matrix(await reader.module(layer, module), shape, module);
        if (config.biases.includes(module)) biases[module] = onDevice(await reader.bias(layer, module), [shape[0]]);
      }
      const norm = async (which: NormName, width: number): Promise<Tensor> =>
        onDevice(await reader.norm(layer, which), [width]);
      layers.push({
        attentionNorm: await norm('attention', hidden),
        mlpNorm: await norm('mlp', hidden),
        queryNorm: config.queryKeyNorm ? await norm('query', headDimension) : null,
        keyNorm: config.queryKeyNorm ? await norm('key', headDimension) : null,
        modules,
        biases,
      });
      await onProgress({ phase: 'load', done: layer + 1, of: config.layers });
    }
    const embedding = onDevice(await reader.embedding(), [vocabulary, hidden]);
    const head = config.tiedEmbeddings ? embedding : onDevice(await reader.head(), [vocabulary, hidden]);
    return { config, embedding, head, finalNorm: onDevice(await reader.finalNorm(), [hidden]), layers };
  } catch (error) {
    tf.dispose(loaded);
    throw error;
  }
}
