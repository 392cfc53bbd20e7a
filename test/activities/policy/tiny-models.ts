import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { moduleNames, moduleShape, type ModelShape } from '../../../activities/policy/model-config.js';
import { modelFingerprint } from '../../../activities/policy/model-files.js';
import type { PolicyWeights, StoredTensors } from '../../../activities/policy/policy.js';
import { openModel } from '../../../activities/policy/weights/open-model.js';
import { writeSafetensors, type NamedTensor } from '../../../activities/policy/weights/safetensors.js';
import { root } from '../../support/root.js';

/** Made by fixtures/make_tiny_models.py. */
export const tinyFolder = path.join(root, 'test/activities/policy/fixtures/tiny');
export const tinyModel = (name: string): string => path.join(tinyFolder, name);

interface TinyNumbers {
  lastLogits: number[];
  logProbs: number[];
  greedy: number[];
  lora: {
    logProbs: number[];
    gradientNorm: number;
    norms: Record<string, [number, number]>;
    lossAfterOneStep: number;
    afterOneStep: number[];
  };
}
export const tiny = JSON.parse(readFileSync(path.join(tinyFolder, 'tiny.json'), 'utf8')) as {
  ids: number[];
  prompt: number[];
  response: number[];
  rank: number;
  alpha: number;
  temperature: number;
  models: Record<string, TinyNumbers>;
};

export async function tinyWeights(model: string, adapter: StoredTensors | null = null): Promise<PolicyWeights> {
  const { sha256 } = await modelFingerprint(model);
  return { model: { path: model, sha256 }, lora: { rank: tiny.rank, alpha: tiny.alpha }, mergedAdapters: [], adapter };
}

export async function configOfModel(model: string): Promise<ModelShape> {
  const reader = await openModel(model);
  await reader.close();
  return reader.config;
}

/** The adapter of make_tiny_models.py: 0.02 sin(0.7 i + 0.3 j + seed). */
export function tinyAdapter(config: ModelShape): StoredTensors {
  const tensors: NamedTensor[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    moduleNames.forEach((module, m) => {
      const [outWidth, inWidth] = moduleShape(config, module);
      for (const [which, rows, columns, seed] of [
        ['A', tiny.rank, inWidth, layer * 7 + m],
        ['B', outWidth, tiny.rank, layer * 7 + m + 0.5],
      ] as const) {
        const values = new Float32Array(rows * columns);
        for (let i = 0; i < rows; i++)
          for (let j = 0; j < columns; j++) values[i * columns + j] = 0.02 * Math.sin(0.7 * i + 0.3 * j + seed);
        tensors.push({
          name: `base_model.model.model.layers.${layer}.${module}.lora_${which}.weight`,
          shape: [rows, columns],
          values,
        });
      }
    });
  }
  const bytes = writeSafetensors(tensors);
  return { sha256: createHash('sha256').update(bytes).digest('hex'), read: async () => bytes };
}
