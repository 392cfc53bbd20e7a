#!/usr/bin/env node
// npm run retention -- --run ID --last N ...: drops old iterations of a run and deletes what nothing names any more.
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { keys } from '../activities/artifacts/store.js';
import { dropIterations } from '../activities/retention/drop-iterations.js';
import { GRACE_HOURS, sweepBlobs, sweptInWords } from '../activities/retention/sweep-blobs.js';
import { CheckpointManifest } from '../schemas/checkpoint.js';
import { Tag } from '../schemas/retention.js';
import { RetentionRule } from '../schemas/retention-rule.js';
import { RunId } from '../schemas/train-config.js';
import { command, UsageError } from './models/command.js';
import { requireRun, runIdOf } from './models/runs.js';
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

await command(async () => {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      run: text,
      last: text,
      every: text,
      best: text,
      by: text,
      tag: text,
      iteration: text,
      'dry-run': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return console.log(USAGE);
  if (values.run === undefined) throw new UsageError(`--run is missing\n\n${USAGE}`);
  const runId = runIdOf(values.run);
  await withStore(
    async (store) => {
      const run = await requireRun(store, runId);
      if (values.tag !== undefined) {
        const iteration = numberOf('iteration', values.iteration ?? '') - 1;
        const name = RunId.safeParse(values.tag);
        if (!name.success) throw new UsageError(`--tag is "${values.tag}": it ${name.error.issues[0]!.message}`);
        if (!(await store.findManifest(keys.checkpoint(runId, iteration), CheckpointManifest)))
          throw new UsageError(`--iteration: run "${runId}" has no checkpoint of iteration ${iteration + 1}`);
        const { manifest } = await store.commitManifest(keys.tag(runId, name.data), { kind: 'tag', iteration }, Tag);
        if (manifest.iteration !== iteration)
          throw new UsageError(
            `--tag: "${name.data}" is iteration ${manifest.iteration + 1} already: choose another name`,
          );
        return console.log(`iteration ${iteration + 1} of run ${runId} is tagged ${name.data}`);
      }
      const given = values.last === undefined ? run.config.retention : ruleOf(values);
      if (given === null)
        throw new UsageError(`--last is missing, and the run has no retention of its own\n\n${USAGE}`);
      const dryRun = values['dry-run'];
      const { kept, dropped } = await dropIterations(store, runId, given, { dryRun });
      const list = (iterations: readonly number[]) => iterations.map((k) => k + 1).join(', ') || 'none';
      console.log(`kept: iterations ${list(kept)}\n${dryRun ? 'would drop' : 'dropped'}: ${list(dropped)}`);
      console.log(sweptInWords(await sweepBlobs(store, { dryRun }), dryRun));
    },
    { writes: values['dry-run'] !== true },
  );
});

function ruleOf({
  last,
  every,
  best,
  by,
}: {
  last?: string | undefined;
  every?: string | undefined;
  best?: string | undefined;
  by?: string | undefined;
}): RetentionRule {
  const rule = RetentionRule.safeParse({
    last: numberOf('last', last ?? ''),
    every: every === undefined ? null : numberOf('every', every),
    best: best === undefined ? null : { metric: by ?? 'meanReward', count: numberOf('best', best) },
  });
  if (rule.success) return rule.data;
  throw new UsageError(z.prettifyError(rule.error));
}

function numberOf(option: string, given: string): number {
  const number = Number(given);
  if (given.trim() !== '' && Number.isInteger(number) && number > 0) return number;
  throw new UsageError(`--${option} is "${given}": expected a whole number above 0`);
}
