#!/usr/bin/env node
// npm run chaos -- --trials N --seed S: a short real run, undisturbed and then N times under random faults; the same bytes?
import { mkdir, mkdtemp, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { canonicalJson, sha256 } from '../activities/artifacts/canonical-json.js';
import { resolveConfig, withoutSchemaReference } from '../activities/run/resolve-config.js';
import type { TrainConfigInput } from '../schemas/train-config.js';
import { named, planTrial } from './chaos/faults.js';
import { readSeries, summaryOf, withOutcome, writeSeries, type Series } from './chaos/series.js';
import { taught } from './chaos/taught-model.js';
import { playTrial, playUndisturbed, type Outcome } from './chaos/trial.js';
import { callersPath, command, readJsonFile, wholeNumber, type Values } from './cli.js';
import { compiledVersion } from './services/workers.js';
import { setUp } from './setup/index.js';
import { inRuntime, repositoryRoot } from './setup/paths.js';
import { onStopSignal } from './services/stop-signal.js';

const USAGE = `npm run chaos -- [--trials N] [--seed S] [OPTIONS]

A short run of the real thing (Temporal, S3, model, sidecar, two GPU workers) once with nothing going wrong, then N
times under random faults at random instants. After each: it completed by itself, with the undisturbed run's bytes,
every optimiser step applied once, every stored reference whole, at most one activity done again for each fault.
A warm start in the settings is played once before; its model is what all of them start from.

  --trials N     trials (default 6)
  --seed S       which faults fall, and when (default 1)
  --from N       number of the first trial (default 0)
  --config FILE  settings of the run (default scripts/runs/chaos.json)
  --json FILE    the outcomes as JSON, written after each trial. Trials that the file holds are not played again, so
                 the same command goes on with a series that was interrupted
  --help         this text

Exit code 0: every trial of the series so far passed. 1: not; the folder of a failed trial is kept. 2: the command line.`;

// Which Node to run on is decided in package.json; a warning in every run helps nobody.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

/** A trial may take so much longer than the undisturbed run: time-outs of a few faults, retries, a machine with other work. */
const LIMIT = { factor: 5, seconds: 300 };

const OPTIONS = {
  trials: { type: 'string' },
  seed: { type: 'string' },
  from: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'string' },
} as const;

const optionsOf = ({ trials, seed, from, config, json }: Values<typeof OPTIONS>) => ({
  trials: wholeNumber('--trials', trials, 0, 6),
  seed: wholeNumber('--seed', seed, 0, 1),
  from: wholeNumber('--from', from, 0, 0),
  config: config === undefined ? path.join(repositoryRoot, 'scripts', 'runs', 'chaos.json') : callersPath(config),
  json: json === undefined ? null : callersPath(json),
});

/** One line of the table. */
function row({ trial, blows, passed, seconds, repeated, recoverySeconds }: Outcome): string {
  const faults = blows.map(({ fault, at }) => `${named(fault)} at ${(100 * at).toFixed(0)} %`).join(', ');
  const recovery =
    recoverySeconds.length === 0 ? '' : `, going on after ${recoverySeconds.map((s) => s.toFixed(1)).join(' and ')} s`;
  return `${String(trial).padStart(5)}  ${passed ? 'same bytes' : 'FAILED    '} ${seconds.toFixed(0).padStart(5)} s  again: ${repeated.join(', ') || 'nothing'}${recovery}  |  ${faults}`;
}

async function main(values: Values<typeof OPTIONS>): Promise<number> {
  const options = optionsOf(values);
  const given = withoutSchemaReference(await readJsonFile(options.config, '--config')) as TrainConfigInput;
  const { environment } = resolveConfig(given);
  const identity = { seed: options.seed, config: sha256(canonicalJson(given)), code: await compiledVersion() };
  const series: Series =
    options.json === null ? { ...identity, undisturbed: null, trials: [] } : await readSeries(options.json, identity);
  const write = async () => (options.json === null ? undefined : writeSeries(options.json, series));
  await setUp();
  await mkdir(inRuntime('chaos'), { recursive: true });
  const root = await mkdtemp(inRuntime('chaos', 'seed-'));
  const sidecar = environment.name.startsWith('bfcl');
  const stopping = new AbortController();
  onStopSignal(() => stopping.abort());
  const common = { root, sidecar, signal: stopping.signal, log: (line: string) => console.log(line) };
  const { config, modelsDir } = await taught(given, common);
  const trial = { ...common, config, gpuWorkers: 2, workerEnv: { SEEUPO_MODELS_DIR: modelsDir } };

  if (series.undisturbed === null) {
    console.log('undisturbed run');
    series.undisturbed = await playUndisturbed({ ...trial, limitSeconds: 1_800 });
    await write();
  }
  const expected = series.undisturbed;
  const { optimizerSteps, adapters, groups } = expected.evidence;
  const moved = new Set(adapters).size;
  console.log(
    `undisturbed: ${expected.seconds.toFixed(0)} s, ${expected.activities} activities, ${expected.commits.length} commits, ${optimizerSteps.applied} optimiser steps, ${moved} different adapters from ${adapters.length} turn updates`,
  );
  if (groups.withoutVariance > 0)
    console.log(`  ${groups.withoutVariance} of ${groups.all} groups have equal rewards: equal bytes prove less there`);
  if (moved < adapters.length) console.log('  some updates did not move the weights: equal bytes prove less there');

  const wanted = Array.from({ length: options.trials }, (_, n) => options.from + n).filter(
    (n) => !series.trials.some((outcome) => outcome.trial === n),
  );
  if (wanted.length < options.trials)
    console.log(`${options.trials - wanted.length} trials are in ${options.json} already`);
  for (const n of wanted) {
    const blows = planTrial(options.seed, n, sidecar ? [] : ['bfcl']);
    console.log(`trial ${n}: ${blows.map(({ fault }) => named(fault)).join(', ')}`);
    const outcome = await playTrial(n, blows, expected, {
      ...trial,
      limitSeconds: LIMIT.factor * expected.seconds + LIMIT.seconds,
    });
    // A trial that a person broke off has shown nothing.
    if (stopping.signal.aborted) break;
    series.trials = withOutcome(series.trials, outcome);
    await write();
    console.log(row(outcome));
    for (const problem of outcome.problems) console.log(`        ${problem}`);
  }
  await rmdir(root).catch(() => console.log(`folders of failed trials: ${root}`));
  console.log(['', ...series.trials.map(row), '', ...summaryOf(series.trials)].join('\n'));
  return !stopping.signal.aborted && series.trials.every(({ passed }) => passed) ? 0 : 1;
}

await command(USAGE, OPTIONS, main);
