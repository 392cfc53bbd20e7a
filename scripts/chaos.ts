#!/usr/bin/env node
// npm run chaos -- --trials N --seed S: a short real run, undisturbed and then N times under random faults; the same bytes?
import { mkdir, mkdtemp, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { TrainConfig, type TrainConfigInput } from '../schemas/train-config.js';
import { named, planTrial } from './chaos/faults.js';
import { playTrial, playUndisturbed, type Outcome, type Played } from './chaos/trial.js';
import { describeFailure, setUp } from './setup/index.js';
import { inRuntime, repositoryRoot } from './setup/paths.js';
import { onStopSignal } from './services/stop-signal.js';

const USAGE = `npm run chaos -- [--trials N] [--seed S] [OPTIONS]

A short run of the real thing (Temporal, S3, model, sidecar, two GPU workers) once with nothing going wrong, then N
times under random faults at random instants. After each: it completed by itself, with the undisturbed run's bytes,
every optimiser step applied once, every stored reference whole, at most one activity done again for each fault.

  --trials N     trials (default 6)
  --seed S       which faults fall, and when (default 1)
  --from N       number of the first trial: goes on with a series (default 0)
  --config FILE  settings of the run (default scripts/runs/chaos.json)
  --json FILE    the outcome as JSON
  --help         this text

Exit code 0: every trial passed. 1: not; the folder of a failed trial is kept. 2: the command line.`;

// Which Node to run on is decided in package.json; a warning in every run helps nobody.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

/** A trial may take so much longer than the undisturbed run: time-outs of a few faults, retries, a machine with other work. */
const LIMIT = { factor: 5, seconds: 300 };

const OPTIONS = {
  trials: { type: 'string', default: '6' },
  seed: { type: 'string', default: '1' },
  from: { type: 'string', default: '0' },
  config: { type: 'string', default: 'scripts/runs/chaos.json' },
  json: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

class UsageError extends Error {}

function optionsOf(args: readonly string[]) {
  let values;
  try {
    ({ values } = parseArgs({ args: [...args], options: OPTIONS, strict: true }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const count = (name: 'trials' | 'seed' | 'from'): number => {
    if (/^\d{1,9}$/.test(values[name])) return Number(values[name]);
    throw new UsageError(`--${name} is "${values[name]}": expected a whole number, 0 or more`);
  };
  // npm runs its scripts at the root of the checkout; the paths were written where the user is.
  const callers = (file: string): string => path.resolve(process.env.INIT_CWD ?? '.', file);
  return {
    ...values,
    trials: count('trials'),
    seed: count('seed'),
    from: count('from'),
    config: values.config === OPTIONS.config.default ? path.join(repositoryRoot, values.config) : callers(values.config),
    json: values.json === undefined ? null : callers(values.json),
  };
}

/** One line of the table. */
function row({ trial, blows, passed, seconds, repeated, recoverySeconds }: Outcome): string {
  const faults = blows.map(({ fault, at }) => `${named(fault)} at ${(100 * at).toFixed(0)} %`).join(', ');
  const recovery = recoverySeconds.length === 0 ? '' : `, going on after ${recoverySeconds.map((s) => s.toFixed(1)).join(' and ')} s`;
  return `${String(trial).padStart(5)}  ${passed ? 'same bytes' : 'FAILED    '} ${seconds.toFixed(0).padStart(5)} s  again: ${repeated.join(', ') || 'nothing'}${recovery}  |  ${faults}`;
}

async function main(): Promise<number> {
  const options = optionsOf(process.argv.slice(2));
  if (options.help) return console.log(USAGE), 0;
  const config = JSON.parse(await readFile(options.config, 'utf8')) as TrainConfigInput;
  const { environment } = TrainConfig.parse(config);
  await setUp();
  await mkdir(inRuntime('chaos'), { recursive: true });
  const root = await mkdtemp(inRuntime('chaos', 'seed-'));
  const sidecar = environment.name.startsWith('bfcl');
  const stopping = new AbortController();
  onStopSignal(() => stopping.abort());
  const trial = { config, root, gpuWorkers: 2, sidecar, signal: stopping.signal, log: (line: string) => console.log(line) };

  console.log('undisturbed run');
  const expected = await playUndisturbed({ ...trial, limitSeconds: 1_800 });
  const { optimizerSteps, adapters } = expected.evidence;
  const moved = new Set(adapters).size;
  console.log(
    `  ${expected.seconds.toFixed(0)} s, ${expected.activities.length} activities, ${expected.commits.length} commits, ${optimizerSteps.applied} optimiser steps, ${moved} different adapters from ${adapters.length} turn updates`,
  );
  if (moved < adapters.length) console.log('  some updates did not move the weights: equal bytes prove less there');

  const outcomes: Outcome[] = [];
  for (let n = options.from; n < options.from + options.trials && !stopping.signal.aborted; n++) {
    const blows = planTrial(options.seed, n, sidecar ? [] : ['bfcl']);
    console.log(`trial ${n}: ${blows.map(({ fault }) => named(fault)).join(', ')}`);
    const outcome = await playTrial(n, blows, expected, { ...trial, limitSeconds: LIMIT.factor * expected.seconds + LIMIT.seconds });
    outcomes.push(outcome);
    console.log(row(outcome));
    for (const problem of outcome.problems) console.log(`        ${problem}`);
  }
  await rmdir(root).catch(() => console.log(`folders of failed trials: ${root}`));
  const passed = outcomes.filter((outcome) => outcome.passed).length;
  console.log(['', ...outcomes.map(row), '', `${passed} of ${outcomes.length} trials: completed by itself, same bytes, every step once`].join('\n'));
  if (options.json !== null) await writeFile(options.json, `${JSON.stringify(report(options, expected, outcomes), null, 2)}\n`);
  return passed === outcomes.length ? 0 : 1;
}

function report({ seed, config }: { readonly seed: number; readonly config: string }, { seconds, activities, executions, evidence }: Played, trials: readonly Outcome[]) {
  return {
    seed,
    config: path.relative(repositoryRoot, config),
    undisturbed: { seconds, activities: activities.length, events: executions.reduce((sum, { events }) => sum + events, 0), optimizerSteps: evidence.optimizerSteps, adapters: evidence.adapters },
    passed: trials.filter(({ passed }) => passed).length,
    trials: trials.map((outcome) => ({ ...outcome, faults: outcome.blows.map(({ fault, at }) => ({ name: named(fault), at })) })),
  };
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${USAGE}` : describeFailure(error));
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
