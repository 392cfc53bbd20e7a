#!/usr/bin/env node
// npm run export-bfcl -- --evaluation ID --out DIR: the transcripts of an evaluation as result files of bfcl_eval.
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { keys } from '../activities/artifacts/store.js';
import { officialResultFiles } from '../activities/environments/bfcl-results.js';
import { EvaluationPlan, EvaluationShardManifest } from '../schemas/evaluation-plan.js';
import { RunId } from '../schemas/train-config.js';
import { Trajectory } from '../schemas/trajectory.js';
import { callersPath, command, UsageError } from './models/command.js';
import { withStore } from './models/with-store.js';

const USAGE = `npm run export-bfcl -- --evaluation ID --out DIR [--name NAME]

  --evaluation ID  id of an evaluation of the environment bfcl, which is its workflow's
  --out DIR        a new or empty directory: becomes the result/ of bfcl_eval
  --name NAME      the model's name there (default: the id); each sample, and the policy compared with, has a folder of its own

The official evaluator executes what these files say: give it those of models you trust, in a sandbox.
Reads the store of this checkout, or the one that SEEUPO_S3_BUCKET and the AWS variables name.`;

await command(async () => {
  const { values } = parseArgs({
    options: {
      evaluation: { type: 'string' },
      out: { type: 'string' },
      name: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return console.log(USAGE);
  for (const name of ['evaluation', 'out'] as const)
    if (values[name] === undefined) throw new UsageError(`--${name} is missing\n\n${USAGE}`);
  const id = RunId.safeParse(values.evaluation);
  if (!id.success) throw new UsageError(`--evaluation is "${values.evaluation}": it ${id.error.issues[0]!.message}`);
  const model = values.name ?? id.data;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(model))
    throw new UsageError(`--name is "${model}": expected letters, digits, ., - and _`);
  const out = callersPath(values.out!);
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new UsageError(`--out: ${out} is not empty: choose a new directory`);

  await withStore(async (store) => {
    const plan = await store.findManifest(keys.evaluationPlan(id.data), EvaluationPlan);
    if (!plan) throw new UsageError(`--evaluation: there is no evaluation "${id.data}" in the store`);
    const { environment, samplesPerTask } = plan.manifest.config;
    if (environment.name !== 'bfcl')
      throw new UsageError(
        `--evaluation: "${id.data}" is of environment "${environment.name}"; only bfcl has an official layout`,
      );
    for (const policy of plan.manifest.policies.keys()) {
      const trajectories = [];
      for await (const key of store.list(keys.evaluationShards(id.data, policy))) {
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
