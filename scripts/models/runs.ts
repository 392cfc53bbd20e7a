import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';
import { openModel } from '../../activities/policy/weights/open-model.js';
import type { WeightsToWrite } from '../../activities/policy/weights/merged-model.js';
import { jointAdapter } from '../../activities/policy/weights/peft-adapter.js';
import { readSafetensors, type NamedTensor } from '../../activities/policy/weights/safetensors.js';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { CheckpointManifest, WarmStartManifest } from '../../schemas/checkpoint.js';
import { RunManifest } from '../../schemas/run.js';
import type { LoraConfig } from '../../schemas/train-config.js';
import { TensorGroups } from '../../schemas/turn-state.js';
import { UsageError } from '../cli.js';

export interface PolicyAt {
  /** For people: which policy of the run this is. */
  readonly name: string;
  /** Folded into the model file, in order: those of the reference, then the trained one. */
  readonly adapters: readonly ArtifactRef[];
  /** With `training: full` all weights instead. */
  readonly weights: ArtifactRef | null;
}

/** The policy after an iteration; -1 is before any, null the last committed one. */
export async function policyAt(store: ArtifactStore, run: RunManifest, wanted: number | null): Promise<PolicyAt> {
  const { runId } = run;
  const committed: number[] = [];
  for await (const key of store.list(`${keys.run(runId)}iterations/`)) {
    const found = /iterations\/(\d+)\/checkpoint\.json$/.exec(key);
    if (found) committed.push(Number(found[1]));
  }
  const iteration = wanted ?? (committed.length > 0 ? Math.max(...committed) : -1);
  if (iteration === -1) {
    const warmStart = await store.findManifest(keys.warmStart(runId), WarmStartManifest);
    return { name: 'before any iteration', adapters: warmStart ? [warmStart.manifest.adapter] : [], weights: null };
  }
  const checkpoint = await store.findManifest(keys.checkpoint(runId, iteration), CheckpointManifest);
  if (!checkpoint)
    throw new UsageError(
      `--iteration: run "${runId}" has not committed iteration ${iteration}; committed are ${committed.sort((a, b) => a - b).join(', ') || 'none'}`,
    );
  const { folded, adapter, weights } = checkpoint.manifest.policy;
  return {
    name: `after iteration ${iteration}`,
    adapters: [...folded, ...(adapter ? [adapter] : [])],
    weights: weights ?? null,
  };
}

/**
 * The policy as one adapter, and as what writeMergedModel() writes.
 * @param modelFile  the run's model on this machine
 */
export async function thetaOf(
  store: ArtifactStore,
  run: RunManifest,
  { adapters, weights }: PolicyAt,
  modelFile: string,
): Promise<{ adapter: { lora: LoraConfig; tensors: NamedTensor[] } | null; whole: WeightsToWrite }> {
  if (weights) return { adapter: null, whole: { weights: await byName(store, weights) } };
  const reader = await openModel(modelFile, 'any'); // checked when the run was opened
  await reader.close();
  const bytes: Uint8Array[] = [];
  for (const ref of adapters) bytes.push(await store.getBlob(ref));
  const adapter = jointAdapter(bytes, reader.config, run.config.lora);
  return { adapter: bytes.length === 0 ? null : adapter, whole: adapter };
}

/** Weights of full training by name, a tensor group in memory at a time: they are asked for in the groups' order. */
async function byName(store: ArtifactStore, ref: ArtifactRef): Promise<(name: string) => Promise<Float32Array>> {
  const rest = [...(await store.getJson(ref, TensorGroups))];
  let group = new Map<string, NamedTensor>();
  return async (name) => {
    while (!group.has(name)) {
      const next = rest.shift();
      if (!next)
        throw new UsageError(`the checkpoint has no tensor ${name}: it belongs to another model than the run's`);
      group = readSafetensors(await store.getBlob(next)).tensors;
    }
    return group.get(name)!.values;
  };
}

export async function runsOf(store: ArtifactStore): Promise<string[]> {
  const runs: string[] = [];
  for await (const key of store.list('runs/')) if (key.endsWith('/run.json')) runs.push(key.split('/')[1]!);
  return runs;
}

/** @throws {UsageError} if the store has no such run, naming those it has */
export async function requireRun(store: ArtifactStore, runId: string): Promise<RunManifest> {
  const run = await store.findManifest(keys.runManifest(runId), RunManifest);
  if (run) return run.manifest;
  throw new UsageError(
    `--run: there is no run "${runId}" in the store; known are ${(await runsOf(store)).join(', ') || 'none'}`,
  );
}
