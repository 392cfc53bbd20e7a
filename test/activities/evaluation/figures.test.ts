import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparisonOf, figuresOf, ksUpTo, playedTasks, taskOutcomes } from '../../../activities/evaluation/figures.js';
import type { EpisodeOutcome } from '../../../schemas/evaluation-plan.js';
import type { Task } from '../../../schemas/task.js';

const options = { key: 'test', resamples: 200, confidence: 0.9 };
const task = (id: string): Task => ({ id, split: 'heldout', turns: 2 });
/** Episodes of a task by their rewards; 1 is solved. */
const outcomes = (taskId: string, ...rewards: number[]): EpisodeOutcome[] =>
  rewards.map((reward, sample) => ({
    taskId,
    sample,
    reward,
    success: reward === 1,
    end: 'completed',
    turnsPassed: [],
    responses: 1,
    sampledTokens: 1,
    truncated: 0,
  }));
const near = (found: number, expected: number) =>
  assert.ok(Math.abs(found - expected) < 1e-12, `${found}, expected ${expected}`);

test('avg@n, TGC and pass@k of two tasks, by hand', () => {
  const played = playedTasks([task('a'), task('b')], [...outcomes('a', 1, 0.5, 0, 0.5), ...outcomes('b', 1, 1, 1, 0)]);
  const { tasks, episodes, averageReward, taskGoalCompletion, passAtK, scenarioGoalCompletion } = figuresOf(
    played,
    options,
  );
  assert.deepEqual([tasks, episodes, scenarioGoalCompletion], [2, 8, null]);
  near(averageReward.value, (0.5 + 0.75) / 2);
  near(taskGoalCompletion.value, (0.25 + 0.75) / 2);
  assert.deepEqual(
    passAtK.map(({ k }) => k),
    [1, 2, 4],
  );
  near(passAtK[0]!.value, 0.5); //                         (1/4 + 3/4) / 2
  near(passAtK[1]!.value, (0.5 + 1) / 2); //               1 - C(3,2)/C(4,2) = 1/2;  1 - C(1,2)/C(4,2) = 1
  near(passAtK[2]!.value, 1);
});

test('tasks weigh the same, however many episodes they have', () => {
  const played = playedTasks([task('a'), task('b')], [...outcomes('a', 1), ...outcomes('b', 0, 0, 0)]);
  near(figuresOf(played, options).averageReward.value, 0.5);
});

test('SGC is the share of scenarios whose tasks the same sample solves, mean over samples', () => {
  const tasks = ['82e2fac_1', '82e2fac_2', '50e1ac9_1'].map(task);
  const played = playedTasks(tasks, [
    ...outcomes('82e2fac_1', 1, 1),
    ...outcomes('82e2fac_2', 0, 1),
    ...outcomes('50e1ac9_1', 1, 0),
  ]);
  // Scenario 82e2fac: sample 0 fails task 2, sample 1 solves both: 1/2. Scenario 50e1ac9: 1/2.
  const { scenarioGoalCompletion } = figuresOf(played, options);
  assert.equal(scenarioGoalCompletion!.scenarios, 2);
  near(scenarioGoalCompletion!.value, 0.5);
});

test('a scenario is told by the official id, whatever options follow it', () => {
  const tasks = ['82e2fac_1?reward=shaped', '82e2fac_2?reward=shaped'].map(task);
  const played = playedTasks(
    tasks,
    tasks.flatMap(({ id }) => outcomes(id, 1)),
  );
  assert.deepEqual(figuresOf(played, options).scenarioGoalCompletion!.scenarios, 1);
});

test('BFCL ids have no scenario: the word before their _ is none', () => {
  assert.equal(
    figuresOf(playedTasks([task('multi_turn_base_0')], outcomes('multi_turn_base_0', 1)), options)
      .scenarioGoalCompletion,
    null,
  );
});

test('a comparison pairs tasks by id and leaves out those that one side lacks', () => {
  const first = playedTasks(
    [task('a'), task('b'), task('c')],
    [...outcomes('a', 1), ...outcomes('b', 1), ...outcomes('c', 1)],
  );
  const second = playedTasks([task('b'), task('a')], [...outcomes('b', 0.5), ...outcomes('a', 0)]);
  const { averageReward, taskGoalCompletion, tasks } = comparisonOf(first, second, options);
  assert.equal(tasks, 2);
  near(averageReward.value, 0.75); // (1 - 0 + 1 - 0.5) / 2
  near(taskGoalCompletion.value, 1);
});

test('task rows name their category, and count solved episodes by policy', () => {
  const tasks: Task[] = [{ ...task('a'), category: 'multi_turn_base' }];
  const rows = taskOutcomes(tasks, [playedTasks(tasks, outcomes('a', 1, 0)), []]);
  assert.deepEqual(rows, [
    {
      taskId: 'a',
      split: 'heldout',
      turns: 2,
      category: 'multi_turn_base',
      scores: [
        { averageReward: 0.5, successes: 1, samples: 2 },
        { averageReward: 0, successes: 0, samples: 0 },
      ],
    },
  ]);
});

test('k doubles up to n, and n itself is one of them', () => {
  assert.deepEqual([1, 4, 6].map(ksUpTo), [[1], [1, 2, 4], [1, 2, 4, 6]]);
});
