#!/usr/bin/env node
// npm run retention -- --run ID --last N ...: drops old iterations of a run and deletes what nothing names any more.
import { z } from 'zod';
import { keys } from '../activities/artifacts/store.js';
import { dropIterations } from '../activities/retention/drop-iterations.js';
import { GRACE_HOURS, sweepBlobs, sweptInWords } from '../activities/retention/sweep-blobs.js';
import { CheckpointManifest } from '../schemas/checkpoint.js';
import { Tag } from '../schemas/retention.js';
import { RetentionRule } from '../schemas/retention-rule.js';
import { command, idOf, required, UsageError, wholeNumber, type Values } from './cli.js';
import { requireRun } from './models/runs.js';
import { withStore } from './models/with-store.js';

const USAGE = `npm run retention -- --run ID [--last N] [--every K] [--best N --by meanReward|successRate] [--dry-run]
npm run retention -- --run ID --tag NAME --iteration I

Drops the iterations of a run that no rule keeps (their figures stay for the report), then deletes the blobs that no manifest
of any run names. Safe while runs train: blobs younger than ${GRACE_HOURS} hours stay.

  --last N                    keeps the last N; left out: the rule of the run's configuration
  --every K                   keeps every K-th
  --best N --by METRIC        keeps the N best by the rollouts' meanReward or successRate
  --tag NAME --iteration I    gives iteration I, counted from 1, a name, which keeps it for good
  --dry-run                   says what would go, and deletes nothing`;

const OPTIONS = {
  run: { type: 'string' },
  last: { type: 'string' },
  every: { type: 'string' },
  best: { type: 'string' },
  by: { type: 'string' },
  tag: { type: 'string' },
  iteration: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
} as const;

await command(USAGE, OPTIONS, async (values) => {
  const runId = idOf('--run', required('--run', values.run));
  await withStore(
    async (store) => {
      const run = await requireRun(store, runId);
      if (values.tag !== undefined) {
        const iteration = wholeNumber('--iteration', required('--iteration', values.iteration), 1, 1) - 1;
        const name = idOf('--tag', values.tag);
        if (!(await store.findManifest(keys.checkpoint(runId, iteration), CheckpointManifest)))
          throw new UsageError(`--iteration: run "${runId}" has no checkpoint of iteration ${iteration + 1}`);
        const { manifest } = await store.commitManifest(keys.tag(runId, name), { kind: 'tag', iteration }, Tag);
        if (manifest.iteration !== iteration)
          throw new UsageError(`--tag: "${name}" is iteration ${manifest.iteration + 1} already: choose another name`);
        return console.log(`iteration ${iteration + 1} of run ${runId} is tagged ${name}`);
      }
      const given = values.last === undefined ? run.config.retention : ruleOf(values);
      if (given === null) throw new UsageError('--last is missing, and the run has no retention of its own', true);
      const dryRun = values['dry-run'];
      const { kept, dropped } = await dropIterations(store, runId, given, { dryRun });
      const list = (iterations: readonly number[]) => iterations.map((k) => k + 1).join(', ') || 'none';
      console.log(`kept: iterations ${list(kept)}\n${dryRun ? 'would drop' : 'dropped'}: ${list(dropped)}`);
      console.log(sweptInWords(await sweepBlobs(store, { dryRun }), dryRun));
    },
    { writes: values['dry-run'] !== true },
  );
});

function ruleOf({ last, every, best, by }: Values<typeof OPTIONS>): RetentionRule {
  const rule = RetentionRule.safeParse({
    last: wholeNumber('--last', last, 1, null),
    every: wholeNumber('--every', every, 1, null),
    best: best === undefined ? null : { metric: by ?? 'meanReward', count: wholeNumber('--best', best, 1, 1) },
  });
  if (rule.success) return rule.data;
  throw new UsageError(z.prettifyError(rule.error));
}
