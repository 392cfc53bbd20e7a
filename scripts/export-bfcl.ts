#!/usr/bin/env node
// npm run export-bfcl -- --evaluation ID --out DIR: the transcripts of an evaluation as result files of bfcl_eval.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { keys } from '../activities/artifacts/store.js';
import { officialResultFiles } from '../activities/environments/bfcl-results.js';
import { EvaluationPlan, EvaluationShardManifest } from '../schemas/evaluation-plan.js';
import { Trajectory } from '../schemas/trajectory.js';
import { command, emptyDirectory, idOf, required, UsageError } from './cli.js';
import { withStore } from './models/with-store.js';

const USAGE = `npm run export-bfcl -- --evaluation ID --out DIR [--name NAME]

  --evaluation ID  id of an evaluation of the environment bfcl, which is its workflow's
  --out DIR        a new or empty directory: becomes the result/ of bfcl_eval
  --name NAME      the model's name there (default: the id); each sample, and the policy compared with, has a folder of its own

The official evaluator executes what these files say: give it those of models you trust, in a sandbox.
Reads the store of this checkout, or the one that SEEUPO_S3_BUCKET and the AWS variables name.`;

const OPTIONS = { evaluation: { type: 'string' }, out: { type: 'string' }, name: { type: 'string' } } as const;

await command(USAGE, OPTIONS, async (values) => {
  const id = idOf('--evaluation', required('--evaluation', values.evaluation));
  const model = values.name ?? id;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(model))
    throw new UsageError(`--name is "${model}": expected letters, digits, ., - and _`);
  const out = emptyDirectory('--out', required('--out', values.out));

  await withStore(async (store) => {
    const plan = await store.findManifest(keys.evaluationPlan(id), EvaluationPlan);
    if (!plan) throw new UsageError(`--evaluation: there is no evaluation "${id}" in the store`);
    const { environment, samplesPerTask } = plan.manifest.config;
    if (environment.name !== 'bfcl')
      throw new UsageError(
        `--evaluation: "${id}" is of environment "${environment.name}"; only bfcl has an official layout`,
      );
    for (const policy of plan.manifest.policies.keys()) {
      const trajectories = [];
      for await (const key of store.list(keys.evaluationShards(id, policy))) {
        const shard = await store.findManifest(key, EvaluationShardManifest);
        if (shard) trajectories.push(...(await store.getJson(shard.manifest.trajectories, z.array(Trajectory))));
      }
      const episodes = plan.manifest.tasks.length * samplesPerTask;
      if (trajectories.length < episodes)
        console.error(
          `export-bfcl: ${trajectories.length} of ${episodes} episodes are there: the evaluation has not finished`,
        );
      for (let sample = 0; sample < samplesPerTask; sample++) {
        const folder = `${model}${policy > 0 ? '-against' : ''}${samplesPerTask > 1 ? `-sample-${sample}` : ''}`;
        for (const [file, lines] of officialResultFiles(
          folder,
          trajectories.filter((one) => one.sample === sample),
        )) {
          await mkdir(path.dirname(path.join(out, file)), { recursive: true });
          await writeFile(path.join(out, file), lines);
          console.log(path.join(out, file));
        }
      }
    }
  });
});
