import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createMemoryStore } from '../../activities/artifacts/memory-store.js';
import type { GpuDependencies } from '../../activities/dependencies.js';
import { withoutHeartbeats } from '../../activities/heartbeats.js';
import type { Execution } from '../../schemas/ownership.js';
import type { Task } from '../../schemas/task.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import { toyCodec } from './toy-codec.js';
import { toyEnvironment, toyPolicy } from './toy-game.js';

export const toyTasks: Task[] = [
  { id: 'a', split: 'train', turns: 2 },
  { id: 'b', split: 'train', turns: 2 },
  { id: 'c', split: 'train', turns: 2 },
  { id: 'z', split: 'heldout', turns: 2 },
];

export const toyConfig: TrainConfigInput = {
  seed: 1,
  iterations: 2,
  model: { path: 'toy.gguf' },
  environment: { name: 'toy' },
  rollout: { groupSize: 2, maxResponseTokens: 32, maxTurns: 2, tasksPerShard: 2 },
  algorithm: { name: 'seeupo' },
  optimizer: { learningRate: 3e-4 },
  evaluation: { samplesPerTask: 3 },
};

/** An execution of the train workflow, as the workflow names itself to openRun. */
export const executionOf = (workflowId: string, firstRunId = `${workflowId}, the first`): Execution => ({
  namespace: 'default',
  workflowId,
  firstRunId,
});

/** What openRun is asked by a workflow of the id. */
export const openInput = (workflowId: string, config: unknown = toyConfig, firstRunId?: string) => ({
  config,
  execution: executionOf(workflowId, firstRunId),
});

/** Everything an activity needs, in this process: a store in memory, a toy game, a policy without tensors. */
export function toyDependencies(tasks: readonly Task[] = toyTasks) {
  const modelsDir = mkdtempSync(path.join(tmpdir(), 'seeupo-models-'));
  writeFileSync(path.join(modelsDir, 'toy.gguf'), 'toy weights');
  const artifacts = createMemoryStore();
  const { policy, batches } = toyPolicy();
  const used: (string | null)[] = [];
  const unused = (): never => {
    throw new Error('not in this test');
  };
  const dependencies: GpuDependencies = {
    artifacts,
    arithmetic: { precision: 'fp32', replicas: 1, device: 'paper', threads: 1, library: 'none', flags: [] },
    environments: () => toyEnvironment(tasks).environment,
    codec: async () => toyCodec(),
    modelsDir,
    codeVersion: 'test',
    fetchModel: async (model) => model,
    temporalAddress: 'nowhere:1',
    executionState: async () => 'unknown',
    heartbeats: withoutHeartbeats,
    policy: {
      ...policy,
      use: async (weights) => void used.push(weights.adapter?.sha256 ?? null),
      useMoments: unused,
      logProbs: unused,
      values: unused,
      step: unused,
      gradient: unused,
      applyGradient: unused,
      trained: unused,
      trainedGroup: unused,
      device: unused,
    },
  };
  return { dependencies, artifacts, batches, used };
}
