import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDisplay } from '../../scripts/quickstart/display.js';
import { duration, eventLines, liveBlock, phaseText, sparkline } from '../../scripts/quickstart/progress-view.js';
import type { Snapshot } from '../../scripts/quickstart/snapshot.js';
import type { IterationPoint, TrainProgress } from '../../workflows/messages.js';

const point = (iteration: number, meanReward: number): IterationPoint => ({
  iteration,
  meanReward,
  successRate: 0.25,
  turnPassRate: [0.5, 0.25],
  groupsWithoutVariance: 0,
  klReference: 0.01,
  violations: 0,
  rejections: 0,
  seconds: 20,
  tokens: 10_000,
  wallSeconds: 25,
});
const at = (changes: Partial<TrainProgress> = {}, rest: Partial<Snapshot> = {}): Snapshot => ({
  status: 'RUNNING',
  progress: {
    runId: 'r',
    title: 'R',
    phase: 'iteration',
    iteration: 2,
    iterations: 8,
    child: 'r/iteration-0002',
    paused: null,
    stopping: false,
    changes: [],
    inertSettings: [],
    startedAt: 0,
    secondsLeft: 150,
    latest: point(1, 0.5),
    ...changes,
  },
  iteration: { iteration: 2, phase: 'update turn', turn: 2, turns: 2 },
  metrics: { evaluations: [], iterations: [point(0, 0.25), point(1, 0.5)], checkpoint: null },
  steps: [{ activity: 'updateTurn', attempt: 1, work: { phase: 'gradient', done: 3, of: 12 }, lastFailure: null }],
  ...rest,
});

test('a terminal shows iteration, turn, phase, reward, success, tokens per second, elapsed and left', () => {
  assert.equal(
    liveBlock(at(), { url: 'http://ui', now: 192_000 }),
    [
      '',
      'iteration 3/8, update turn 2 of 2', // two are done
      '  updateTurn: gradient 3/12',
      '████████░░░░░░░░░░░░░░░░░░░░░░ 2 of 8 iterations', // 30 · 2/8 = 7.5, rounded up
      'reward 0.500  success 25 %  500 tokens/s  ▃▅', // 10 000 / 20 s; ⌊8 · .25⌋ = 2, ⌊8 · .5⌋ = 4
      'elapsed 3 min 12 s, about 2 min 30 s of training left',
      'http://ui',
    ].join('\n'),
  );
});

test('without a worker that answers the display says what it waits for', () => {
  assert.equal(phaseText(at({}, { progress: null })), 'waiting for a control worker');
  assert.match(
    liveBlock(at({}, { progress: null, iteration: null, metrics: null, steps: [] }), { url: 'u', now: 0 }),
    /^\nwaiting for a control worker\nu$/,
  );
});

test('a step that is tried again shows its attempt and why', () => {
  const retried = at(
    {},
    { steps: [{ activity: 'updateTurn', attempt: 2, work: null, lastFailure: 'activity Heartbeat timeout' }] },
  );
  assert.match(
    liveBlock(retried, { url: 'u', now: 0 }),
    /updateTurn: waiting for a worker, attempt 2 after: activity Heartbeat timeout/,
  );
  assert.deepEqual(eventLines(at(), retried, 0), ['updateTurn is tried again (attempt 2): activity Heartbeat timeout']);
});

test('settings that cannot act are told once, as soon as the run is open', () => {
  const told = at({ inertSettings: ['algorithm.clip never acts'] });
  assert.deepEqual(eventLines(at(), told, 0), ['setting without effect: algorithm.clip never acts']);
  assert.deepEqual(eventLines(told, told, 0), []);
});

test('a log gets one line per event and none while nothing changes', () => {
  assert.deepEqual(eventLines(at(), at(), 0), []);
  const next = at(
    { iteration: 3, latest: point(2, 0.75), secondsLeft: 125 },
    {
      iteration: { iteration: 3, phase: 'rollout', turn: null, turns: null },
      metrics: { evaluations: [], iterations: [point(0, 0.25), point(1, 0.5), point(2, 0.75)], checkpoint: null },
    },
  );
  assert.deepEqual(eventLines(at(), next, 217_000), [
    'iteration 3/8 done: reward 0.750, success 25 %, turns passed 50 % 25 %, KL 0.010, 25 s, 500 tokens/s, elapsed 3 min 37 s, about 2 min 05 s of training left',
    'iteration 4/8, rollout',
  ]);
});

test('a run that is joined late tells what it has done so far, oldest first', () => {
  const lines = eventLines(
    null,
    at(
      {},
      {
        metrics: {
          evaluations: [{ name: 'start', split: 'train', meanReward: 0.25, successRate: 0, turnPassRate: [0.5, 0] }],
          iterations: [point(0, 0.25), point(1, 0.5)],
          checkpoint: null,
        },
      },
    ),
    0,
  );
  assert.deepEqual(
    lines.map((line) => line.slice(0, 20)),
    ['evaluation start, tr', 'iteration 1/8 done: ', 'iteration 2/8 done: ', 'iteration 3/8, updat'],
  );
  assert.equal(lines[0], 'evaluation start, training tasks: reward 0.250, success 0 %, turns passed 50 % 0 %');
});

test('durations read as people say them', () => {
  assert.deepEqual([0, 59.4, 60, 192, 3599, 3900].map(duration), [
    '0 s',
    '59 s',
    '1 min 00 s',
    '3 min 12 s',
    '59 min 59 s',
    '1 h 05 min',
  ]);
});

test('a sparkline has eight heights', () => assert.equal(sparkline([0, 0.124, 0.125, 0.5, 1]), '▁▁▂▅█'));

const written = (terminal: { isTTY: boolean; rows: number; columns: number }): string => {
  let text = '';
  const out = Object.assign(Object.create(null), {
    ...terminal,
    write: (piece: string) => ((text += piece), true),
  }) as NodeJS.WriteStream;
  const display = createDisplay(out);
  display.show(at(), 'http://ui');
  display.line('a line that stays');
  display.close();
  return text;
};

test('in a log, and on a terminal without a size, there are lines and no block', () => {
  for (const terminal of [
    { isTTY: false, rows: 0, columns: 0 },
    { isTTY: true, rows: 0, columns: 80 },
  ]) {
    const text = written(terminal);
    assert.match(text, /iteration 3\/8, update turn 2 of 2\na line that stays\n$/);
    assert.ok(!text.includes('\u001b'));
  }
});

test('on a terminal the block is taken away before a line that stays', () => {
  const text = written({ isTTY: true, rows: 40, columns: 100 });
  assert.match(text, /http:\/\/ui\n(\u001b\[[0-9]*[A-Z])+a line that stays\n/);
});
