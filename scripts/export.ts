#!/usr/bin/env node
// npm run export -- --run ID --out DIR [--merged]: a run's adapter, or the whole model with it, for PEFT and transformers.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { keys, type ArtifactStore } from '../activities/artifacts/store.js';
import { modelFingerprint } from '../activities/policy/model-files.js';
import { writeMergedModel } from '../activities/policy/weights/merged-model.js';
import { openModel } from '../activities/policy/weights/open-model.js';
import { jointAdapter, writePeftAdapter } from '../activities/policy/weights/peft-adapter.js';
import { CheckpointManifest, WarmStartManifest } from '../schemas/checkpoint.js';
import type { RunManifest } from '../schemas/run.js';
import type { ArtifactRef } from '../schemas/artifact-ref.js';
import { callersPath, command, UsageError } from './models/command.js';
import { requireRun, runIdOf, withStore } from './models/run-store.js';

const USAGE = `npm run export -- --run ID --out DIR [--iteration K] [--merged]

  --run ID         a run's id, which is its workflow's
  --out DIR        a new or empty directory
  --iteration K    the policy after iteration K, from 0; -1 is before any (default: the last committed)
  --merged         the whole model with the adapter folded in, fp32, as transformers loads it; otherwise a PEFT adapter

Reads the store of this checkout, or the one that SEEUPO_S3_BUCKET and the AWS variables name.`;

await command(async () => {
  const { values } = parseArgs({
    options: { run: { type: 'string' }, iteration: { type: 'string' }, out: { type: 'string' }, merged: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return console.log(USAGE);
  for (const name of ['run', 'out'] as const) if (values[name] === undefined) throw new UsageError(`--${name} is missing\n\n${USAGE}`);
  const runId = runIdOf(values.run!);
  const iteration = values.iteration === undefined ? null : Number(values.iteration);
  if (iteration !== null && (values.iteration!.trim() === '' || !Number.isInteger(iteration) || iteration < -1)) throw new UsageError(`--iteration is "${values.iteration}": expected a whole number from -1`);
  const out = callersPath(values.out!);
  if (existsSync(out) && readdirSync(out).length > 0) throw new UsageError(`--out: ${out} is not empty: choose a new directory`);

  await withStore(async (store, modelsDir) => {
    const run = await requireRun(store, runId);
    const { config, model } = run;
    const at = await adaptersAt(store, run, iteration);
    const modelFile = path.join(modelsDir, model.path);
    if (!existsSync(modelFile)) throw new UsageError(`the run's model ${model.path} is not in ${modelsDir}: put it there, or set SEEUPO_MODELS_DIR`);
    const { sha256 } = await modelFingerprint(modelFile);
    if (sha256 !== model.sha256) throw new UsageError(`${modelFile} has sha256 ${sha256}, the run was made with ${model.sha256}: put that model there`);
    const reader = await openModel(modelFile);
    await reader.close();
    const adapters: Uint8Array[] = [];
    for (const ref of at.adapters) adapters.push(await store.getBlob(ref));
    if (adapters.length === 0 && !values.merged) throw new UsageError(`run "${runId}" ${at.name} has the untouched model: there is no adapter to export; --merged writes the model itself`);
    const joint = jointAdapter(adapters, reader.config, config.lora);
    const written = values.merged
      ? await writeMergedModel(modelFile, joint, out, (done, of) => done % 50 === 0 && console.error(`export: ${done} of ${of} tensors`))
      : await writePeftAdapter(out, modelFile, joint.lora, joint.tensors);
    console.log(`run ${runId} ${at.name}: ${values.merged ? 'merged model' : `adapter of rank ${joint.lora.rank}`} in ${out} (${written.join(', ')})`);
  });
});

/** Adapters that make the policy after an iteration, in order: those folded into the reference, then the trained one. */
async function adaptersAt(store: ArtifactStore, run: RunManifest, wanted: number | null): Promise<{ name: string; adapters: ArtifactRef[] }> {
  const { runId } = run;
  const committed: number[] = [];
  for await (const key of store.list(`${keys.run(runId)}iterations/`)) {
    const found = /iterations\/(\d+)\/checkpoint\.json$/.exec(key);
    if (found) committed.push(Number(found[1]));
  }
  const iteration = wanted ?? (committed.length > 0 ? Math.max(...committed) : -1);
  if (iteration === -1) {
    const warmStart = await store.findManifest(keys.warmStart(runId), WarmStartManifest);
    return { name: 'before any iteration', adapters: warmStart ? [warmStart.manifest.adapter] : [] };
  }
  const checkpoint = await store.findManifest(keys.checkpoint(runId, iteration), CheckpointManifest);
  if (!checkpoint) throw new UsageError(`--iteration: run "${runId}" has not committed iteration ${iteration}; committed are ${committed.sort((a, b) => a - b).join(', ') || 'none'}`);
  const { folded, adapter } = checkpoint.manifest.policy;
  return { name: `after iteration ${iteration}`, adapters: [...folded, ...(adapter ? [adapter] : [])] };
}
