import { CheckpointManifest, WarmStartManifest } from '../../schemas/checkpoint.js';
import type { PolicySource } from '../../schemas/evaluate-config.js';
import type { EvaluatedPolicy } from '../../schemas/evaluation-plan.js';
import { RunManifest } from '../../schemas/run.js';
import { LoraConfig } from '../../schemas/train-config.js';
import type { PolicyState } from '../../schemas/turn-state.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import { identifyModelFile } from '../run/model-file.js';
import { basePolicy } from '../run/run-context.js';

/** A policy as it is stored now, and the run that it comes from. */
export interface FoundPolicy {
  readonly policy: EvaluatedPolicy;
  /** Null for a model that no run trained. */
  readonly run: RunManifest | null;
}

/** The store does not hold what a source names; the message says what there is. */
export class NoSuchPolicy extends Error {
  override name = 'NoSuchPolicy';
}

/** @throws {NoSuchPolicy, ModelFileInvalid} */
export async function findPolicy(
  source: PolicySource,
  { artifacts, modelsDir }: { readonly artifacts: ArtifactStore; readonly modelsDir: string },
): Promise<FoundPolicy> {
  if (source.run === undefined || source.iteration === undefined) {
    const model = await identifyModelFile(modelsDir, source.model!, source.acceptSettings);
    // The zero adapter changes nothing, whatever its rank.
    return {
      policy: { source, label: `model ${model.path}`, model, lora: LoraConfig.parse({}), state: basePolicy },
      run: null,
    };
  }
  const found = await artifacts.findManifest(keys.runManifest(source.run), RunManifest);
  if (!found)
    throw new NoSuchPolicy(
      `run is "${source.run}", of which this store has no ${keys.runManifest(source.run)}: is it the run's workflow id, and this its bucket?`,
    );
  const run = found.manifest;
  const { model, config } = run;
  const { state, when } = await stateOf(artifacts, run, source.iteration);
  return { policy: { source, label: `run ${run.runId} ${when}`, model, lora: config.lora, state }, run };
}

async function stateOf(
  artifacts: ArtifactStore,
  run: RunManifest,
  iteration: NonNullable<PolicySource['iteration']>,
): Promise<{ state: PolicyState; when: string }> {
  if (iteration === 'untouched') return { state: basePolicy, when: 'before training' };
  if (iteration === 'start') {
    if (run.config.warmStart === null) return { state: basePolicy, when: 'at the start' };
    const warm = await artifacts.findManifest(keys.warmStart(run.runId), WarmStartManifest);
    if (!warm) throw new NoSuchPolicy(`iteration is "start", but run "${run.runId}" has not finished its warm start`);
    return { state: { ...basePolicy, folded: [warm.manifest.adapter] }, when: 'after the warm start' };
  }
  const committed = await committedIterations(artifacts, run.runId);
  const wanted = iteration === 'end' ? committed.at(-1) : iteration;
  const checkpoint =
    wanted === undefined
      ? null
      : await artifacts.findManifest(keys.checkpoint(run.runId, wanted - 1), CheckpointManifest);
  if (!checkpoint) {
    // Retention may have dropped some on the way.
    const there =
      committed.length === 0 ? 'it has none yet' : `the last ones it has are ${committed.slice(-10).join(', ')}`;
    throw new NoSuchPolicy(
      `iteration is ${JSON.stringify(iteration)}, but run "${run.runId}" has no such checkpoint: ${there}`,
    );
  }
  return { state: checkpoint.manifest.policy, when: `after ${wanted} iteration${wanted === 1 ? '' : 's'}` };
}

/** Iterations that a checkpoint is committed after, counted from 1, in order. */
async function committedIterations(artifacts: ArtifactStore, runId: string): Promise<number[]> {
  const found: number[] = [];
  for await (const key of artifacts.list(`${keys.run(runId)}iterations/`)) {
    const k = /\/iterations\/(\d+)\/checkpoint\.json$/.exec(key)?.[1];
    if (k !== undefined) found.push(Number(k) + 1);
  }
  return found.sort((a, b) => a - b);
}
