import path from 'node:path';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import { repositoryRoot } from '../setup/paths.js';
import { writeTinyChatModel } from './tiny-chat-model.js';

/** Three iterations of three turns on a random model and a task that needs no sidecar: seconds, and every update moves the weights. */
export const tinyRun: TrainConfigInput = {
  title: 'three tiny iterations',
  seed: 5,
  iterations: 3,
  model: { path: 'tiny-chat' },
  environment: { name: './letters.ts' },
  rollout: { groupSize: 3, tasksPerShard: 1, temperature: 0.9, maxResponseTokens: 12, maxTurns: 3 },
  lora: { rank: 4, alpha: 8 },
  warmStart: { epochs: 1, batchSize: 1, maxTokens: 600, warmUpSteps: 0, optimizer: { learningRate: 1e-3 } },
  algorithm: { name: 'seeupo', klCoefficient: 0.005, minibatches: 2 },
  optimizer: { learningRate: 1e-2 },
  evaluation: { samplesPerTask: 1 },
};

/** Variables of workers that play it: all of one arithmetic, whatever would suit each, because rounding depends on it. */
export async function tinyWorkerEnv(modelsDir: string): Promise<Record<string, string>> {
  await writeTinyChatModel(modelsDir);
  const arithmetic = { SEEUPO_PRECISION: 'fp32', SEEUPO_REPLICAS: '1' };
  return {
    ...arithmetic,
    SEEUPO_MODELS_DIR: modelsDir,
    SEEUPO_ENVIRONMENTS_DIR: path.join(repositoryRoot, 'scripts/chaos/environments'),
  };
}
