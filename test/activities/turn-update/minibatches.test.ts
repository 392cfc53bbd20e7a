import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dealMinibatches } from '../../../activities/turn-update/minibatches.js';

test('every task is dealt once, sizes differ by at most one, the key decides the order', () => {
  const tasks = ['a', 'b', 'c', 'd', 'e'];
  const dealt = dealMinibatches([...tasks, ...tasks], 2, 'key');
  assert.deepEqual(dealt.flat().sort(), tasks);
  assert.deepEqual(
    dealt.map((batch) => batch.length),
    [3, 2],
  );
  assert.deepEqual(dealMinibatches(tasks, 2, 'key'), dealt);
  assert.ok(['1', '2', '3', '4'].some((key) => dealMinibatches(tasks, 2, key)[0]!.join() !== dealt[0]!.join()));
});

test('fewer tasks than minibatches give fewer minibatches, no task none', () => {
  assert.deepEqual(dealMinibatches(['a'], 4, 'k'), [['a']]);
  assert.deepEqual(dealMinibatches([], 4, 'k'), []);
});
