import type { RunManifest, RunRef } from '../../schemas/run.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { algorithmOf } from '../algorithms/index.js';
import { selectTasks, shardsOf } from '../rollout/select-tasks.js';

/** What a workflow carries of a run under some of its settings. */
export function runRefOf(
  { runId, trainTasks }: RunManifest,
  { manifest, generation, settings }: Pick<RunRef, 'manifest' | 'generation' | 'settings'>,
  config: TrainConfig,
): RunRef {
  return {
    runId,
    manifest,
    generation,
    settings,
    title: config.title || `${config.algorithm.name} on ${config.environment.name}/${config.environment.taskSet}`,
    iterations: config.iterations,
    tasks: trainTasks.length,
    groupSize: config.rollout.groupSize,
    shards: shardsOf(selectTasks(config, trainTasks, 0), config.rollout.tasksPerShard).length,
    updateOrder: updateOrderOf(config),
    ...(config.update.shards > 1 && {
      spread: { shards: config.update.shards, steps: config.algorithm.epochs * config.algorithm.minibatches },
    }),
    ...(config.retention && { retention: true }),
    warmStart: config.warmStart !== null,
    evaluateEvery: config.evaluation.everyIterations,
    algorithm: config.algorithm.name,
    environment: `${config.environment.name}/${config.environment.taskSet}`,
    model: config.model.path,
  };
}

/** What the iteration workflow walks through; where all turns are one pool any order does. */
function updateOrderOf({ algorithm, seed }: TrainConfig): RunRef['updateOrder'] {
  const { updateOrder } = algorithmOf(algorithm);
  return updateOrder === 'random' ? { random: seed } : updateOrder;
}
