import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { resolveConfig } from '../../activities/run/resolve-config.js';
import { daysWords, readDays, withDay, writeDays } from '../../scripts/bench/days.js';
import { poolOf, randomRows } from '../../scripts/bench/inputs.js';
import { markdown, median, resultOf, sameWork } from '../../scripts/bench/results.js';
import { Side } from '../../scripts/bench/side.js';
import { workRows } from '../../scripts/bench/works.js';
import type { Trajectory } from '../../schemas/trajectory.js';

const reply = (seconds: number, tokens: number, check: number | null = null, peakBytes = 2 ** 30) => ({
  seconds,
  tokens,
  check,
  peakBytes,
});
const row = (name: string) => workRows.find((known) => known.name === name)!;

test('a median is the middle value, or the mean of the two in the middle', () => {
  assert.equal(median([5, 1, 3]), 3);
  assert.equal(median([5, 1, 3, 9]), 4);
});

test('rates are compared ours over theirs, whole works theirs over ours, by medians: above 1 we are faster', () => {
  // 100, 200 and 50 tokens/s against 50, 40 and 80
  const rates = resultOf(
    row('logprobs-fp32'),
    {
      ours: [reply(1, 100), reply(0.5, 100), reply(2, 100)],
      torch: [reply(2, 100), reply(2.5, 100), reply(1.25, 100)],
    },
    '',
  );
  assert.deepEqual(
    [rates.ours!.median, rates.ours!.lowest, rates.ours!.highest, rates.torch!.median, rates.ratio],
    [100, 50, 200, 50, 2],
  );
  const whole = resultOf(
    row('turn-update'),
    { ours: [reply(10, 1), reply(12, 1)], torch: [reply(40, 1), reply(48, 1)] },
    '',
  );
  assert.equal(whole.ratio, 4); // 44 s / 11 s
  assert.equal(resultOf(row('turn-update'), { ours: [reply(10, 1)], torch: [] }, '').ratio, null);
});

test('sides that computed different numbers are told apart from rounding, and the table says so', () => {
  const of = (name: string, theirs: number) =>
    resultOf(row(name), { ours: [reply(1, 1, -12)], torch: [reply(1, 1, theirs)] }, '');
  assert.ok(sameWork(of('logprobs-fp32', -12.001)));
  assert.ok(!sameWork(of('logprobs-fp32', -12.2)));
  assert.ok(sameWork(of('logprobs-bf16', -12.2))); // 1.6 %
  assert.match(
    markdown([of('logprobs-fp32', -13)], []),
    /log-probs 8 x 512, fp32: the sides did not compute the same\*\* \(-12 against -13\)/,
  );
  assert.doesNotMatch(markdown([of('logprobs-fp32', -12)], []), /did not/);
});

test('the table has a line per work with medians, spread, ratio and what of the bars is met', () => {
  const table = markdown(
    [
      resultOf(
        row('decode-16'),
        { ours: [reply(1, 300), reply(1, 320)], torch: [reply(1, 200, null, 2 ** 31), reply(1, 200)] },
        'a detail',
      ),
    ],
    ['about'],
    () => 'this day only',
  );
  assert.match(
    table,
    /\| decode, batch 16 \| .* \| 310 tokens\/s \(300 to 320\) \| 200 tokens\/s \(200 to 200\) \| \*\*1\.55\*\* \| this day only \| 0\.8 \| 1\.3 \| goal \| 1\.0 \| 2\.0 \|/,
  );
  assert.match(table, /- decode, batch 16: a detail\n- about/);
});

test('days are collected by row and machine: the last bench of a day counts, and the spread is over days', async () => {
  const of = (ours: number, torch: number) => [
    resultOf(row('logprobs-bf16'), { ours: [reply(1, ours)], torch: [reply(1, torch)] }, ''),
    resultOf(row('full-step'), { ours: [reply(1, 1)], torch: [] }, ''),
  ];
  const on = (day: string, machine = 'this') => ({ day, machine, versions: { torch: '2.9' } });
  let days = withDay([], of(599, 515), on('2026-11-01'));
  assert.equal(daysWords(days, 'logprobs-bf16', 'this'), 'this day only');
  days = withDay(days, of(500, 515), on('2026-11-02'));
  days = withDay(days, of(599, 758), on('2026-11-02'));
  days = withDay(days, of(599, 100), on('2026-11-03', 'another'));
  assert.equal(daysWords(days, 'logprobs-bf16', 'this'), '0.79 to 1.16, 2 days');
  assert.equal(daysWords(days, 'full-step', 'this'), ''); // one side alone has no ratio
  const folder = mkdtempSync(path.join(tmpdir(), 'seeupo-bench-'));
  const file = path.join(folder, 'days.json');
  assert.deepEqual(await readDays(file), []);
  await writeDays(file, days);
  assert.deepEqual(await readDays(file), days);
  rmSync(folder, { recursive: true });
});

const turn = (promptIds: number[], responseIds: number[]) =>
  ({ promptIds, responseIds }) as Trajectory['turns'][number];
const trajectory = (id: string, taskId: string, reward: number, ...turns: Trajectory['turns']) =>
  ({ id, taskId, reward, turns }) as Trajectory;
const config = resolveConfig({
  seed: 1,
  iterations: 1,
  model: { path: 'm' },
  environment: { name: 'e' },
  rollout: { groupSize: 2, maxResponseTokens: 8, maxTurns: 2 },
  algorithm: { name: 'seeupo', minibatches: 2, skipGroupsWithoutVariance: true },
  optimizer: { learningRate: 1e-4 },
  evaluation: {},
});

test('the turn pool is the one with the most tokens; of a committed run only groups whose rewards differ', () => {
  const played = [
    trajectory('a#0', 'a', 1, turn([1, 2], [3]), turn([1, 2, 3, 4], [5, 6])),
    trajectory('a#1', 'a', 0, turn([1, 2], [4])),
    trajectory('b#0', 'b', 1, turn([7], [8])),
    trajectory('b#1', 'b', 1, turn([7], [9])),
  ];
  const all = poolOf(config, played, false); // turn 1: 3 + 3 + 2 + 2 = 10 tokens, turn 2: 6
  assert.deepEqual(
    all.samples.map(({ id, advantage }) => [id, advantage]),
    [
      ['a#0', 1],
      ['a#1', -1],
      ['b#0', 1],
      ['b#1', -1],
    ],
  );
  // Prompts are shared and a response's last token predicts nothing: 1 2 of task a, 7 of task b.
  assert.match(all.detail, /turn 1 of 2, 4 sequences, 10 tokens \(3 where/);
  assert.deepEqual(all.minibatches.flat().sort(), ['a', 'b']);
  // Of task a alone turn 1 has 3 + 3 = 6 tokens and turn 2 has 6: the first of equals.
  assert.deepEqual(
    poolOf(config, played, true).samples.map(({ id }) => id),
    ['a#0', 'a#1'],
  );
});

test('random rows share no beginning', () => {
  const rows = randomRows(16, 8, 49152);
  assert.equal(new Set(rows.map(([first]) => first)).size, 16);
  assert.ok(rows.flat().every((id) => Number.isInteger(id) && id >= 0 && id < 49152));
});

test('a side that answers with an error, prints beside its answers, or dies is told with its log', async () => {
  const program = `
    console.log('a library says hello');
    require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { call } = JSON.parse(line);
      if (call === 'die') process.exit(3);
      console.log(JSON.stringify(call === 'fail' ? { error: 'no such tensor' } : { seconds: 2, tokens: 4, check: 1, peakBytes: 8 }));
    });`;
  const side = await Side.start('torch', process.execPath, ['-e', program], {}, '/dev/null');
  assert.deepEqual(await side.call({ call: 'work' }), { seconds: 2, tokens: 4, check: 1, peakBytes: 8 });
  await assert.rejects(
    side.call({ call: 'fail' }),
    /side "torch" failed: no such tensor; its messages are in \/dev\/null/,
  );
  await assert.rejects(side.call({ call: 'die' }), /ended with exit code 3/);
  await assert.rejects(side.call({ call: 'work' }), /it has ended/);
  await side.end();
});
