import type { Task } from '../../schemas/task.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { sha256 } from '../artifacts/canonical-json.js';

/**
 * The tasks of iteration k, in the run's order: all of them, or B drawn without replacement. The
 * draw orders tasks by a hash of (seed, iteration, task), so it depends on nothing else.
 */
export function selectTasks(
  {
    seed,
    rollout: { tasksPerIteration },
  }: Pick<TrainConfig, 'seed'> & { readonly rollout: Pick<TrainConfig['rollout'], 'tasksPerIteration'> },
  tasks: readonly Task[],
  iteration: number,
): Task[] {
  if (tasksPerIteration === null || tasksPerIteration >= tasks.length) return [...tasks];
  const drawn = tasks
    .map((task) => ({ id: task.id, lot: sha256(`${seed}/${iteration}/${task.id}`) }))
    .sort((a, b) => (a.lot < b.lot ? -1 : 1))
    .slice(0, tasksPerIteration);
  const chosen = new Set(drawn.map(({ id }) => id));
  return tasks.filter(({ id }) => chosen.has(id));
}

/** Tasks dealt in order over shards of at most `tasksPerShard`, whose episodes are decoded together. */
export function shardsOf(tasks: readonly Task[], tasksPerShard: number): Task[][] {
  const shards: Task[][] = [];
  for (let first = 0; first < tasks.length; first += tasksPerShard)
    shards.push(tasks.slice(first, first + tasksPerShard));
  return shards;
}
