#!/usr/bin/env node
// npm run export -- --run ID --out DIR [--merged]: a run's adapter, or the whole model with it, for PEFT and transformers.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { modelFingerprint } from '../activities/policy/model-files.js';
import { writeMergedModel } from '../activities/policy/weights/merged-model.js';
import { writePeftAdapter } from '../activities/policy/weights/peft-adapter.js';
import { command, emptyDirectory, idOf, required, UsageError, wholeNumber } from './cli.js';
import { policyAt, requireRun, thetaOf } from './models/runs.js';
import { withStore } from './models/with-store.js';

const USAGE = `npm run export -- --run ID --out DIR [--iteration K] [--merged]

  --run ID         a run's id, which is its workflow's
  --out DIR        a new or empty directory
  --iteration K    the policy after iteration K, from 0; -1 is before any (default: the last committed)
  --merged         the whole model with the adapter merged in, fp32, as transformers loads it; otherwise a PEFT adapter.
                   A run that trained all weights has no adapter: only this

Reads the store of this checkout, or the one that SEEUPO_S3_BUCKET and the AWS variables name.`;

const OPTIONS = {
  run: { type: 'string' },
  iteration: { type: 'string' },
  out: { type: 'string' },
  merged: { type: 'boolean' },
} as const;

await command(USAGE, OPTIONS, async (values) => {
  const runId = idOf('--run', required('--run', values.run));
  const iteration = wholeNumber('--iteration', values.iteration, -1, null);
  const out = emptyDirectory('--out', required('--out', values.out));

  await withStore(async (store, modelsDir) => {
    const run = await requireRun(store, runId);
    const { model } = run;
    const at = await policyAt(store, run, iteration);
    const modelFile = path.join(modelsDir, model.path);
    if (!existsSync(modelFile))
      throw new UsageError(
        `the run's model ${model.path} is not in ${modelsDir}: put it there, or set SEEUPO_MODELS_DIR`,
      );
    const { sha256 } = await modelFingerprint(modelFile);
    if (sha256 !== model.sha256)
      throw new UsageError(
        `${modelFile} has sha256 ${sha256}, the run was made with ${model.sha256}: put that model there`,
      );
    const { adapter, whole } = await thetaOf(store, run, at, modelFile);
    if (adapter === null && !values.merged) {
      throw new UsageError(
        `run "${runId}" ${at.name} has ${at.weights ? 'trained all weights' : 'the untouched model'}: there is no adapter to export; --merged writes the model itself`,
      );
    }
    const written = values.merged
      ? await writeMergedModel(
          modelFile,
          whole,
          out,
          (done, of) => done % 50 === 0 && console.error(`export: ${done} of ${of} tensors`),
        )
      : await writePeftAdapter(out, modelFile, adapter!.lora, adapter!.tensors);
    console.log(
      `run ${runId} ${at.name}: ${values.merged ? 'merged model' : `adapter of rank ${adapter!.lora.rank}`} in ${out} (${written.join(', ')})`,
    );
  });
});
