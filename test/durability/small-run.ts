import { randomUUID } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { createS3Store } from '../../activities/artifacts/s3-store.js';
import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';
import { runtimeDir } from '../../scripts/setup/paths.js';
import { startServices, type Services } from '../../scripts/services.js';
import { CheckpointManifest } from '../../schemas/checkpoint.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import { TurnStateManifest } from '../../schemas/turn-state.js';
import { RolloutShardManifest } from '../../schemas/rollout.js';

/**
 * Two iterations of two turns on two real tasks with the real model, in a few minutes. A short warm
 * start gives some rewards to learn from: without it nothing would move, and equal weights prove nothing.
 */
export const smallRun: TrainConfigInput = {
  title: 'end to end: two small iterations',
  seed: 3,
  iterations: 2,
  model: { path: 'SmolLM2-135M-Instruct.gguf' },
  environment: { name: 'bfcl-windows', taskSet: 'smoke' },
  rollout: { groupSize: 4, tasksPerShard: 3, temperature: 0.9, maxResponseTokens: 20, maxTurns: 2 },
  warmStart: { epochs: 1, maxTokens: 200, warmUpSteps: 1, optimizer: { learningRate: 1e-3 } },
  algorithm: { name: 'seeupo', klCoefficient: 0.005, minibatches: 1 },
  optimizer: { learningRate: 3e-4 },
  evaluation: { samplesPerTask: 1 },
};

export interface Stack {
  readonly services: Services;
  readonly client: Client;
  readonly artifacts: ArtifactStore;
  stop(): Promise<void>;
}

/** The real servers and workers in a folder of their own, beside whatever else runs in this checkout. */
export async function startStack(): Promise<Stack> {
  const dataDir = await mkdtemp(path.join(runtimeDir, 'test-stack-'));
  const services = await startServices({ dataDir, workers: true });
  const connection = await Connection.connect({ address: services.addresses.temporal });
  return {
    services,
    client: new Client({ connection }),
    artifacts: storeOf(services),
    async stop() {
      await connection.close();
      await services.stop();
    },
  };
}

function storeOf(services: Services): ArtifactStore {
  const env = services.env();
  return createS3Store({
    endpoint: env['SEEUPO_S3_ENDPOINT']!,
    bucket: env['SEEUPO_S3_BUCKET']!,
    region: env['SEEUPO_S3_REGION']!,
    forcePathStyle: true,
    credentials: { accessKeyId: env['AWS_ACCESS_KEY_ID']!, secretAccessKey: env['AWS_SECRET_ACCESS_KEY']! },
  });
}

export const startRun = ({ client }: Stack, config: TrainConfigInput, name: string): Promise<WorkflowHandle> =>
  client.workflow.start('train', {
    taskQueue: 'seeupo-control',
    workflowId: `${name}-${randomUUID().slice(0, 8)}`,
    args: [config],
  });

/** Resolves when the run has reached a phase of an iteration (counted from 1), e.g. `update turn`. */
export async function reached(stack: Stack, run: WorkflowHandle, iteration: number, phase: string): Promise<void> {
  const child = stack.client.workflow.getHandle(
    `${run.workflowId}/iteration-${String(iteration - 1).padStart(4, '0')}`,
  );
  for (;;) {
    const status = (await run.describe()).status.name;
    if (status !== 'RUNNING')
      throw new Error(`the run is ${status} before it reached ${phase} of iteration ${iteration}`);
    const now = await child.query<{ phase: string }>('progress').catch(() => null);
    if (now?.phase === phase) return;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
/** Everything that must be the same bytes in two runs of one seed: tokens, weights, moments, ratios, metrics. */
export async function fingerprint(artifacts: ArtifactStore, runId: string, iterations: number): Promise<object[]> {
  const found: object[] = [];
  for (let k = 0; k < iterations; k++) {
    const rollout = await artifacts.findManifest(keys.rolloutShard(runId, k, 0), RolloutShardManifest);
    found.push({
      k,
      manifest: rollout!.ref.sha256,
      trajectories: rollout!.manifest.trajectories.sha256,
      metrics: rollout!.manifest.metrics,
    });
    for (const turn of [2, 1]) {
      const state = await artifacts.findManifest(keys.turnState(runId, k, turn), TurnStateManifest);
      if (!state) continue; // no trajectory reached the turn
      const { policy, suffixProducts, metrics } = state.manifest;
      found.push({
        k,
        turn,
        manifest: state.ref.sha256,
        adapter: policy.adapter?.sha256,
        moments: policy.moments?.sha256,
        suffixProducts: suffixProducts.sha256,
        metrics,
      });
    }
    const checkpoint = await artifacts.findManifest(keys.checkpoint(runId, k), CheckpointManifest);
    found.push({ k, manifest: checkpoint!.ref.sha256, checkpoint: checkpoint!.manifest.policy });
  }
  return found;
}
