import assert from 'node:assert/strict';
import { test } from 'node:test';
import { episodeId } from '../../../activities/rollout/episode-id.js';
import { selectTasks, shardsOf } from '../../../activities/rollout/select-tasks.js';
import { EpisodeId } from '../../../schemas/environment-protocol.js';
import type { Task } from '../../../schemas/task.js';

const tasks: Task[] = Array.from({ length: 10 }, (_, n) => ({ id: `${n}`, split: 'train', turns: 2 }));
const draw = (tasksPerIteration: number | null, iteration: number, seed = 1) =>
  selectTasks({ seed, rollout: { tasksPerIteration } }, tasks, iteration).map(({ id }) => Number(id));

test('null takes all tasks, in their order', () => {
  assert.deepEqual(draw(null, 3), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('B tasks are drawn without replacement, in their order, the same again for the same seed and iteration', () => {
  const drawn = draw(4, 3);
  assert.equal(new Set(drawn).size, 4);
  assert.deepEqual(
    drawn,
    [...drawn].sort((a, b) => a - b),
  );
  assert.deepEqual(draw(4, 3), drawn);
  assert.notDeepEqual(draw(4, 4), drawn);
  assert.notDeepEqual(draw(4, 3, 2), drawn);
});

test('over many iterations every task is drawn about equally often', () => {
  const counts = tasks.map(() => 0);
  for (let k = 0; k < 1000; k++) for (const id of draw(4, k)) counts[id]!++;
  for (const count of counts) assert.ok(Math.abs(count - 400) < 80, `${counts}`); // 5 standard deviations
});

test('shards hold so many tasks, the last one the rest', () => {
  assert.deepEqual(
    shardsOf(tasks, 4).map((shard) => shard.length),
    [4, 4, 2],
  );
  assert.deepEqual(shardsOf([], 4), []);
});

test('episode ids are of the protocol for any task id, short, and never the same for two episodes', () => {
  const ids = [
    '8:0',
    'multi_turn_base_0',
    'a/b',
    'a.2f.b',
    'ü ',
    'x'.repeat(200),
    `${'x'.repeat(199)}y`,
    '_'.repeat(200),
  ].flatMap((task) => [0, 1].map((sample) => episodeId('my_run-1', 12, task, sample)));
  for (const id of ids) EpisodeId.parse(id);
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(episodeId('run', 0, '8:0', 3), 'run/0/8:0/3');
});
