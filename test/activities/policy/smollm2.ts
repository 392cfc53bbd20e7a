import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { moduleShape, moduleNames } from '../../../activities/policy/model-config.js';
import type { PolicyWeights, StoredTensors } from '../../../activities/policy/policy.js';
import { writeSafetensors, type NamedTensor } from '../../../activities/policy/weights/safetensors.js';
import { root } from '../../support/root.js';

export const modelFile = path.join(
  process.env['SEEUPO_RUNTIME_DIR'] ?? path.join(root, '.runtime'),
  'models',
  'SmolLM2-135M-Instruct.gguf',
);

/** SmolLM2-135M: shape of the model in the file above. */
export const shape = {
  layers: 30,
  hidden: 576,
  heads: 9,
  keyValueHeads: 3,
  headDimension: 64,
  feedForward: 1536,
  vocabulary: 49152,
  contextLength: 8192,
  ropeBase: 100000,
  ropeScaling: null,
  normEpsilon: 1e-5,
  tiedEmbeddings: true,
  biases: [],
  queryKeyNorm: false,
};

export interface Fixture {
  prompts: Record<
    string,
    { ids: number[]; everyStride: number[]; top: [number, number][]; logProbs: number[]; greedy: number[] }
  >;
  lora: {
    rank: number;
    alpha: number;
    temperature: number;
    prompt: number[];
    response: number[];
    logProbs: number[];
    gradientNorm: number;
    norms: Record<string, [number, number]>;
    afterOneStep: number[];
  };
}
export const fixture = JSON.parse(
  readFileSync(path.join(root, 'test/activities/policy/fixtures/smollm2.json'), 'utf8'),
) as Fixture;

export function smollm2(rank = 8, alpha = 16, adapter: StoredTensors | null = null): PolicyWeights {
  if (!existsSync(modelFile)) throw new Error(`${modelFile} is missing: run \`npm run setup\``);
  const sha256 = createHash('sha256').update(readFileSync(modelFile)).digest('hex');
  return { model: { path: modelFile, sha256 }, lora: { rank, alpha }, mergedAdapters: [], adapter };
}

/** The adapter of make_fixtures.py: 0.02 sin(0.7 i + 0.3 j + seed). */
export function formulaAdapter(rank: number): StoredTensors {
  const tensors: NamedTensor[] = [];
  for (let layer = 0; layer < shape.layers; layer++) {
    moduleNames.forEach((module, m) => {
      const [outWidth, inWidth] = moduleShape(shape, module);
      for (const [which, rows, columns, seed] of [
        ['A', rank, inWidth, layer * 7 + m],
        ['B', outWidth, rank, layer * 7 + m + 0.5],
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
