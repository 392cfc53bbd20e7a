import { uniforms } from '../numerics/random.js';
import type { LoraConfig } from '../../schemas/train-config.js';
import { moduleNames, moduleShape, type ModelShape, type ModuleName } from './model-config.js';

/** One trainable matrix of the adapter, by its name in a PEFT adapter file. */
export interface AdapterTensor {
  readonly name: string;
  readonly layer: number;
  readonly module: ModuleName;
  /** A is (rank, in), B is (out, rank); the module computes x W^T + (alpha / rank) (x A^T) B^T. */
  readonly which: 'A' | 'B';
  readonly shape: readonly [number, number];
  /** Where its values start in the flat vector of all trainable parameters. */
  readonly offset: number;
}

/** Every trainable matrix in the one order in which they are stored, summed and stepped. */
export function adapterLayout(config: ModelShape, lora: LoraConfig): { tensors: AdapterTensor[]; parameters: number } {
  const tensors: AdapterTensor[] = [];
  let offset = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    for (const module of moduleNames) {
      const [outWidth, inWidth] = moduleShape(config, module);
      for (const [which, shape] of [
        ['A', [lora.rank, inWidth]],
        ['B', [outWidth, lora.rank]],
      ] as const) {
        tensors.push({
          name: `base_model.model.model.layers.${layer}.${module}.lora_${which}.weight`,
          layer,
          module,
          which,
          shape,
          offset,
        });
        offset += shape[0] * shape[1];
      }
    }
  }
  return { tensors, parameters: offset };
}

/**
 * The adapter that changes nothing yet: B = 0, A uniform in +-1/sqrt(in) as PEFT draws it (Kaiming
 * with a = sqrt 5), from a fixed stream, so that "the zero adapter" means the same bytes everywhere.
 */
export function zeroAdapter(config: ModelShape, lora: LoraConfig): Float32Array {
  const { tensors, parameters } = adapterLayout(config, lora);
  const flat = new Float32Array(parameters);
  for (const { name, which, shape, offset } of tensors) {
    if (which === 'B') continue;
    const bound = 1 / Math.sqrt(shape[1]);
    uniforms(`lora/${name}`, shape[0] * shape[1]).forEach((u, i) => {
      flat[offset + i] = (2 * u - 1) * bound;
    });
  }
  return flat;
}
