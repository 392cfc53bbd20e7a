import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportContent } from '../../../activities/report/report-data.js';
import { scoreBar, terminalSummary } from '../../../activities/report/terminal-summary.js';
import { runManifest, sources } from './fixture.js';

test('the terminal shows before and after, both gains and the reward of each iteration', () => {
  const text = terminalSummary(reportContent(sources()));
  assert.equal(
    text.split('\n\n')[0],
    [
      'Training tasks (2 tasks, 4 trajectories each time)',
      '                          reward  success  turn 1  turn 2',
      '  untouched model          0.000    0.000   0.000   0.000',
      '  after the warm start     0.250    0.000   0.500   0.000',
      '  after SeeUPO             0.750    0.500   1.000   0.500',
      '  gain of the warm start  +0.250    0.000  +0.500   0.000',
      '  gain of SeeUPO          +0.500   +0.500  +0.500  +0.500',
    ].join('\n'),
  );
  assert.match(text, /Mean reward per iteration\n {4}1 {2}0\.250 {2}█{8}░{22}\n {4}2 {2}0\.500 {2}█{15}░{15}/); // .25 and .5 of 30
});

test('no line is wider than 80 columns but the verdict’s', () => {
  const lines = terminalSummary(reportContent(sources())).split('\n').slice(0, -1);
  assert.ok(lines.every((line) => line.length <= 80));
});

test('a run without iterations or evaluations is summed up in its verdict', () => {
  const text = terminalSummary(reportContent(sources({ checkpoints: [], evaluations: [] })));
  assert.equal(text, 'No iteration of SeeUPO was run, so there is nothing to compare.');
});

test('a bar is empty at 0, full at 1 and never longer', () => {
  assert.equal(scoreBar(0, 4), '░░░░');
  assert.equal(scoreBar(0.5, 4), '██░░');
  assert.equal(scoreBar(7, 4), '████');
});

test('settings that could not act stand above the verdict', () => {
  const run = runManifest({ inertSettings: ['algorithm.clip never acts'] });
  assert.match(
    terminalSummary(reportContent(sources({ run }))),
    /\n\nSettings without effect\n {2}algorithm\.clip never acts\n\n[^\n]*$/,
  );
});
