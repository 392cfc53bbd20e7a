import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainedOn } from '../../../activities/grouping/read-groups.js';
import { turnPools } from '../../../activities/algorithms/turn-pools.js';

test('D_t holds the trajectories that played turn t; T is the longest', () => {
  assert.deepEqual(
    turnPools([
      { id: 'a', turns: 2 },
      { id: 'b', turns: 1 },
      { id: 'c', turns: 3 },
    ]),
    [['a', 'b', 'c'], ['a', 'c'], ['c']],
  );
});

test('without trajectories there are no pools', () => assert.deepEqual(turnPools([]), []));

test('skipGroupsWithoutVariance leaves out groups of equal rewards, and only those', () => {
  const all = [
    { taskId: 'a', reward: 1 },
    { taskId: 'a', reward: 1 },
    { taskId: 'b', reward: 0 },
    { taskId: 'b', reward: 0.5 },
  ];
  assert.deepEqual(trainedOn(all, { skipGroupsWithoutVariance: true }), all.slice(2));
  assert.deepEqual(trainedOn(all, { skipGroupsWithoutVariance: false }), all);
});
