import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readableCall, readableEpisode } from '../../../activities/report/episode.js';
import { reportContent, standardErrorOfMeanReward } from '../../../activities/report/report-data.js';
import { timeShares } from '../../../activities/report/time-shares.js';
import { ReportContent } from '../../../schemas/report.js';
import { checkpoint, evaluation, iterationTiming, metrics, runManifest, sources, trajectory } from './fixture.js';

const close = (found: number | null | undefined, expected: number): void => {
  assert.ok(typeof found === 'number' && Math.abs(found - expected) < 1e-12, `${found} is not ${expected}`);
};

test('the content of a report is what its schema says', () => {
  assert.deepEqual(ReportContent.parse(reportContent(sources())), reportContent(sources()));
});

test('the gain of SeeUPO is end minus start, the gain of the warm start is start minus untouched, each on its own line', () => {
  const { seeupoGains, warmStartGains } = reportContent(sources());
  const [seeupo, warm] = [seeupoGains, warmStartGains].map((gains) => gains.find(({ split }) => split === 'train'));
  close(warm?.meanReward, 0.25); //   (.5 + .5 + 0 + 0)/4 - 0
  close(seeupo?.meanReward, 0.5); //  (.5 + .5 + 1 + 1)/4 - .25
  assert.deepEqual(seeupo?.turnPassRate, [0.5, 0.5]); // turn 1: 4/4 - 2/4, turn 2: 2/4 - 0/4
  close(seeupo?.successRate, 0.5); // 2/4 - 0/4
});

test('the standard error counts the spread within tasks only', () => {
  const rewards = [
    { taskId: 'a', reward: 0 },
    { taskId: 'a', reward: 1 }, // variance of 0, 1 with n - 1: .5; .5 / 2 = .25
    { taskId: 'b', reward: 0.5 },
    { taskId: 'b', reward: 0.5 }, // 0
  ];
  // Of b, q = (1 + 1/2) / 3 = 1/2: q (1 - q) / 3 = 1/12.
  close(standardErrorOfMeanReward(rewards), Math.sqrt(0.25 + 1 / 12) / 2); // 2 tasks
});

test('with one sample of a task there is no standard error, and none of no task', () => {
  assert.equal(standardErrorOfMeanReward([{ taskId: 'a', reward: 1 }]), null);
  assert.equal(standardErrorOfMeanReward([]), null);
});

test('a gain under two standard errors is called sampling noise', () => {
  const content = reportContent(
    sources({
      evaluations: [
        evaluation('start', 'train', [trajectory('a', 0, [false]), trajectory('a', 1, [true, false])]), // .25 ± .25
        evaluation('end', 'train', [trajectory('a', 0, [true, false]), trajectory('a', 1, [true, false])]), // .5 ± 0
      ],
    }),
  );
  assert.equal(content.seeupoGains[0]?.beyondNoise, false); // .25 < 2 · .25
  assert.equal(
    content.verdict,
    'On the training tasks the mean reward went from 0.250 to 0.500 (+0.250 ± 0.382) in 2 iterations, which is within sampling noise.',
  );
});

test('with one sample a task the verdict claims no rise', () => {
  const one = (name: string, passed: boolean[]) => evaluation(name, 'train', [trajectory('a', 0, passed)]);
  assert.equal(
    reportContent(sources({ evaluations: [one('start', [false]), one('end', [true, true])] })).verdict,
    'On the training tasks the mean reward went from 0.000 to 1.000 (+1.000) in 2 iterations (too few samples to say how much of it is noise).',
  );
});

test('the rise is the mean of the last three rollouts less the evaluation before', () => {
  const checkpoints = [0.1, 0.2, 0.4, 0.9].map((meanReward, k) => checkpoint(k, { rollout: metrics({ meanReward }) }));
  const { learning } = reportContent(sources({ checkpoints }));
  assert.equal(learning?.lastIterations, 3);
  close(learning?.meanOfLast, 0.5); // (.2 + .4 + .9) / 3
  close(learning?.rise, 0.25); //      .5 - .25
});

test('storage is taken out of every step and the shares add up to 1', () => {
  const time = timeShares({
    timings: { warmStart: sources().timings.warmStart, evaluations: [], checkpoints: [iterationTiming] },
  });
  assert.deepEqual(
    time.map(({ part, seconds }) => [part, seconds]),
    [
      ['warm start', 58], //  60 - 2
      ['rollout', 9], //      10 - 1
      ['scoring', 4],
      ['turn updates', 5], // 6 - 1; grouping took 1 - 1 = 0 and has no line
      ['storage', 5], //      2 + 1 + 1 + 0 + 1
    ],
  );
  close(
    time.reduce((total, { share }) => total + share, 0),
    1,
  );
});

test('iterations are counted from 1 and their seconds and tokens are those of all steps', () => {
  const [first] = reportContent(sources()).iterations;
  assert.equal(first?.iteration, 1);
  assert.equal(first?.seconds, 21); // 10 + 1 + 4 + 6
  assert.equal(first?.tokens, 3100); // 2000 + 0 + 500 + 600
});

test('turn updates keep the order in which they were made', () => {
  const { turnUpdates } = reportContent(sources());
  assert.deepEqual(
    turnUpdates.map(({ iteration, turn }) => [iteration, turn]),
    [
      [1, 2],
      [1, 1],
      [2, 2],
      [2, 1],
    ],
  );
});

test('shown trajectories: worst before and best after of the most improved task, and a failure after', () => {
  const { episodes } = reportContent(sources());
  assert.deepEqual(
    episodes.map(({ stage, taskId, sample, reward }) => [stage, taskId, sample, reward]),
    [
      ['start', 'b', 0, 0], // b rose by 1, a by 0
      ['end', 'b', 0, 1],
      ['end', 'a', 0, 0.5],
    ],
  );
  assert.equal(episodes[0]?.turns[0]?.prompt, 'text of 1 2 3');
});

test('no failure is shown if every trajectory after succeeded', () => {
  const all = (name: string) => evaluation(name, 'train', [trajectory('a', 0, [true, true])]);
  const { episodes } = reportContent(sources({ evaluations: [all('start'), all('end')] }));
  assert.deepEqual(
    episodes.map(({ heading }) => heading),
    ['Before SeeUPO', 'After SeeUPO, the same task'],
  );
});

test('without a warm start the untouched model is where SeeUPO starts, in one row', () => {
  const content = reportContent(
    sources({
      warmStart: null,
      evaluations: sources().evaluations.filter(({ manifest }) => manifest.name !== 'start'),
    }),
  );
  assert.deepEqual(content.warmStartGains, []);
  assert.deepEqual(
    content.stages.filter(({ split }) => split === 'train').map(({ label }) => label),
    ['untouched model', 'after SeeUPO'],
  );
  close(content.seeupoGains[0]?.meanReward, 0.75);
});

test('without a warm start, evaluations named untouched and start are one row', () => {
  const { stages, seeupoGains } = reportContent(sources({ warmStart: null }));
  assert.deepEqual(
    stages.filter(({ split }) => split === 'train').map(({ stage }) => stage),
    ['start', 'end'],
  );
  close(seeupoGains[0]?.meanReward, 0.5);
});

test('without held-out tasks the verdict speaks of training tasks only', () => {
  const content = reportContent(
    sources({
      run: runManifest({ heldoutTasks: [] }),
      evaluations: sources().evaluations.filter(({ manifest }) => manifest.split === 'train'),
    }),
  );
  // SE of both evaluations is 0: all samples of a task agree.
  assert.equal(
    content.verdict,
    'On the training tasks the mean reward went from 0.250 to 0.750 (+0.500 ± 0.255) in 2 iterations, which is within sampling noise.',
  );
});

test('with no iteration nothing is claimed', () => {
  const content = reportContent(sources({ checkpoints: [] }));
  assert.equal(content.verdict, 'No iteration of SeeUPO was run, so there is nothing to compare.');
  assert.equal(content.learning, null);
  assert.equal(content.finalAdapterSha256, null);
});

test('an evaluation in between is listed and is no stage', () => {
  const midway = evaluation('iteration-0001', 'train', [trajectory('a', 0, [true, false])]);
  const content = reportContent(
    sources({ evaluations: [...sources().evaluations, { ...midway, trajectories: null }] }),
  );
  assert.deepEqual(content.midway, [{ name: 'iteration-0001', split: 'train', meanReward: 0.5, successRate: 0 }]);
  assert.equal(content.stages.length, 6);
});

test('a call reads as it would be written, a malformed one with its reason', () => {
  assert.equal(
    readableCall({ name: 'grep', positional: ['a.txt', 1], keyword: { deep: true } }),
    'grep("a.txt", 1, deep=true)',
  );
  assert.equal(readableCall({ malformed: 'no closing bracket' }), 'not a call: no closing bracket');
});

test('checks are shown beside responses only where each response has one', () => {
  const one = trajectory('a', 0, [true, false]);
  const shown = (turnsPassed: boolean[], end = one.end) =>
    readableEpisode({ ...one, turnsPassed, end }, 'train', null).turns.map(({ passed }) => passed);
  assert.deepEqual(shown([true, false]), [true, false]);
  assert.deepEqual(shown([true]), [null, null]); // a call and the reply that closes its user turn
  assert.deepEqual(shown([true], 'truncated'), [true, null]);
});
