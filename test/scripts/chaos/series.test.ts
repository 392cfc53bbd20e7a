import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { readSeries, summaryOf, withOutcome, writeSeries } from '../../../scripts/chaos/series.js';
import type { Measure, Outcome } from '../../../scripts/chaos/trial.js';

const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-series-'));
after(() => rm(folder, { recursive: true }));

const IDENTITY = { seed: 1, config: 'of settings', code: 'of code' };
const evidence = {
  fingerprint: { 'run.json': 'a' },
  broken: [],
  adapters: ['b'],
  optimizerSteps: { applied: 9, planned: 9 },
  groups: { all: 3, withoutVariance: 0 },
};
const undisturbed: Measure = { evidence, commits: [1, 2.5], seconds: 3, activities: 7, events: 40 };
const outcome = (trial: number, changes: Partial<Outcome> = {}): Outcome => ({
  trial,
  blows: [{ fault: { kind: 'kill', service: 'gpu-worker' }, at: 0.5 }],
  passed: true,
  problems: [],
  seconds: 60,
  repeated: [],
  recoverySeconds: [],
  ...changes,
});

test('a series is read back as it was written: what was played need not be played again', async () => {
  const file = path.join(folder, 'series.json');
  assert.deepEqual(await readSeries(file, IDENTITY), { ...IDENTITY, undisturbed: null, trials: [] });
  const trials = withOutcome([outcome(4), outcome(0)], outcome(2, { recoverySeconds: [31.5] }));
  assert.deepEqual(
    trials.map(({ trial }) => trial),
    [0, 2, 4],
  );
  await writeSeries(file, { ...IDENTITY, undisturbed, trials });
  const read = await readSeries(file, IDENTITY);
  assert.deepEqual(read.undisturbed, undisturbed);
  assert.deepEqual(
    read.trials.map(({ trial, blows, recoverySeconds }) => [trial, blows, recoverySeconds]),
    trials.map(({ trial, blows, recoverySeconds }) => [trial, blows, recoverySeconds]),
  );
  const {
    passed,
    of,
    trials: written,
  } = JSON.parse(await readFile(file, 'utf8')) as { passed: number; of: number; trials: { faults: string[] }[] };
  assert.deepEqual([passed, of, written[0]!.faults], [3, 3, ['SIGKILL gpu-worker']]);
});

test('trials of other code, settings or seed are not gone on with, and the file is left as it is', async () => {
  const file = path.join(folder, 'other.json');
  await writeSeries(file, { ...IDENTITY, undisturbed, trials: [outcome(0)] });
  const before = await readFile(file, 'utf8');
  await assert.rejects(readSeries(file, { ...IDENTITY, code: 'of later code' }), {
    name: 'OtherSeries',
    message: /holds 1 trials of another series: code is of code, here of later code\. Name another file/,
  });
  await assert.rejects(readSeries(file, { ...IDENTITY, seed: 2 }), /seed is 1, here 2/);
  assert.equal(await readFile(file, 'utf8'), before);
  for (const text of ['', '{}', '[1]']) {
    await writeFile(file, text);
    await assert.rejects(readSeries(file, IDENTITY), { name: 'OtherSeries', message: /holds no trials/ });
  }
});

test('the summary counts trials, faults, work done again, and recoveries against their bar', () => {
  const trials = [
    outcome(0, { repeated: ['updateTurn (2 attempts)'], recoverySeconds: [33] }),
    outcome(1, { recoverySeconds: [31, 44] }),
    outcome(2, { passed: false, problems: ['x'], blows: [...outcome(2).blows, { fault: { kind: 'twin' }, at: 0.6 }] }),
  ];
  const [passed, again, recovery] = summaryOf(trials);
  assert.match(passed!, /^2 of 3 trials: .*; not: 2$/);
  assert.equal(again, '1 activities done again for 4 faults');
  assert.match(
    recovery!,
    /killed at work 3 times: .* after 33\.0 s \(median\), 44\.0 s \(longest\); 2 of them under 40 s/,
  );
  assert.equal(summaryOf([outcome(0)])[2], 'no GPU worker was killed at work');
});
