#!/usr/bin/env node
// npm run bench: the engine against PyTorch and transformers at the same work, in turns on one machine.
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import path from 'node:path';
import { readHuggingFaceConfig } from '../activities/policy/weights/hugging-face.js';
import { resolveConfig } from '../activities/run/resolve-config.js';
import { daysWords, readDays, withDay, writeDays } from './bench/days.js';
import { committedPlay, plainModel } from './bench/inputs.js';
import { measure } from './bench/measure.js';
import { markdown, type RowResult, type SideName } from './bench/results.js';
import { workRows } from './bench/works.js';
import { callersPath, command, idOf, oneOf, readJsonFile, UsageError, wholeNumber } from './cli.js';
import { suitedSettings, thisMachine } from './services/workers.js';
import { setUp, smolLm2Path } from './setup/index.js';
import { inRuntime, repositoryRoot } from './setup/paths.js';

const suited = suitedSettings(await thisMachine(), process.env);
const names = workRows.map(({ name }) => name);
const USAGE = `npm run bench -- [OPTIONS]

  --only A,B        some of ${names.join(', ')}
  --rounds N        of each side, one after the other in turns (default 5)
  --side S          ours, torch or both (default both)
  --run ID          theta and turn pool of a committed run; otherwise SmolLM2 as it is plays the quickstart's tasks
  --iteration K     of that run, from 0 (default 0)
  --replicas N      of our policy in turn-update and rollout-shard (default: as the services start a worker, ${suited.SEEUPO_REPLICAS ?? 1} here)
  --threads N       of each side (default: all cores, ${availableParallelism()} here)
  --out DIR         where bench.md, bench.json and days.json go (default .runtime/bench); the last collects the ratios of every day

The first time, PyTorch and transformers are installed below .runtime: a download of 3.7 GB, 7 GB on disk.`;

const OPTIONS = {
  only: { type: 'string' },
  rounds: { type: 'string' },
  side: { type: 'string' },
  run: { type: 'string' },
  iteration: { type: 'string' },
  threads: { type: 'string' },
  replicas: { type: 'string' },
  out: { type: 'string' },
} as const;

await command(USAGE, OPTIONS, async (values) => {
  const rounds = wholeNumber('--rounds', values.rounds, 1, 5);
  const threads = wholeNumber('--threads', values.threads, 1, availableParallelism());
  const replicas = wholeNumber('--replicas', values.replicas, 1, Number(suited.SEEUPO_REPLICAS ?? 1));
  const iteration = wholeNumber('--iteration', values.iteration, 0, 0);
  const chosen = values.only?.split(',') ?? names;
  const unknown = chosen.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new UsageError(`--only names "${unknown}": expected some of ${names.join(', ')}`);
  const side = oneOf('--side', values.side, ['ours', 'torch', 'both'], 'both');
  const wanted: SideName[] = side === 'both' ? ['ours', 'torch'] : [side];
  if (values.run !== undefined) idOf('--run', values.run);

  await setUp([
    'tensorflow',
    'tensorflow-binding',
    'model',
    'bfcl',
    ...(wanted.includes('torch') ? (['reference'] as const) : []),
  ]);
  const played = values.run === undefined ? null : await committedPlay(values.run, iteration);
  const config =
    played?.config ??
    resolveConfig(
      await readJsonFile(path.join(repositoryRoot, 'scripts', 'runs', 'quickstart.json'), 'the quickstart'),
    );
  const model = played?.model ?? (await plainModel(smolLm2Path));
  const { vocabulary } = await readHuggingFaceConfig(model);

  const results: RowResult[] = [];
  const versions: Record<string, string> = { node: process.version };
  const out = values.out === undefined ? inRuntime('bench') : callersPath(values.out);
  await mkdir(out, { recursive: true });
  const daysFile = path.join(out, 'days.json');
  const known = await readDays(daysFile);
  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${threads} threads a side`;
  for (const row of workRows.filter(({ name }) => chosen.includes(name))) {
    const measured = await measure(
      row,
      { wanted, rounds, threads, replicas, model, vocabulary, config, trajectories: played?.trajectories ?? null },
      (line) => console.error(line),
    );
    Object.assign(versions, measured.versions);
    results.push(measured.result);
    // After every row, so that an interrupted bench keeps what it has.
    const about = [
      `${new Date().toISOString().slice(0, 16)}Z; ${machine}; rounds of the two sides in turns, the first side changing`,
      `${path.basename(model)}; ${Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', ')}`,
    ];
    const days = withDay(known, results, { day: new Date().toISOString().slice(0, 10), machine, versions });
    await writeDays(daysFile, days);
    const table = markdown(results, about, (name) => daysWords(days, name, machine));
    await writeFile(path.join(out, 'bench.md'), table);
    await writeFile(
      path.join(out, 'bench.json'),
      `${JSON.stringify({ about, versions, threads, results }, null, 2)}\n`,
    );
    if (results.length === chosen.length)
      console.log(`${table}\nwritten: ${path.join(out, 'bench.md')}, bench.json, days.json`);
  }
});
