import type { RunRef } from '../schemas/run.js';
import type { UpdateTurnInput, UpdateTurnResult } from '../schemas/steps.js';
import { cpu, gpu } from './activity-proxies.js';
import { onStickyWorker } from './sticky-worker.js';

/**
 * A turn's update, data-parallel over workers (`update.shards`): the gradient of each optimizer step is computed in
 * shards of whole tasks and summed in the order of the shards, so the result does not depend on which worker computes
 * which shard. The step itself goes to the worker that took the step before, because it holds theta and its moments.
 *
 * @param stickyQueue  task queue of the worker that holds theta, if one is known
 */
export async function updateTurnSharded(
  input: UpdateTurnInput,
  { shards, steps }: NonNullable<RunRef['spread']>,
  stickyQueue?: string,
): Promise<UpdateTurnResult> {
  const onAllShards = <R>(work: (shard: number) => Promise<R>): Promise<R[]> =>
    Promise.all(Array.from({ length: shards }, (_, shard) => work(shard)));
  const step = (n: number) => `turn ${input.turn}, step ${n + 1} of ${steps}`;
  let stepped = input.policy;
  let queue = stickyQueue;
  const stepManifests = [];
  for (let n = 0; n < steps; n++) {
    const gradients = await onAllShards((shard) =>
      gpu(`${step(n)}: gradient, shard ${shard + 1} of ${shards}`).computeGradient({
        ...input,
        step: n,
        shard,
        shards,
        stepped,
      }),
    );
    const moved = await onStickyWorker(queue, `${step(n)}: sum and step`, (activities) =>
      activities.applyGradients({ ...input, step: n, stepped, gradients: gradients.map(({ manifest }) => manifest) }),
    );
    ({ policy: stepped, warm: queue } = moved);
    stepManifests.push(moved.manifest);
  }
  const ratios = await onAllShards((shard) =>
    gpu(`turn ${input.turn}: ratios, shard ${shard + 1} of ${shards}`).measureRatios({
      ...input,
      shard,
      shards,
      stepped,
    }),
  );
  const done = await cpu(`turn ${input.turn}: commit`).finishTurn({
    ...input,
    stepped,
    steps: stepManifests,
    ratios: ratios.map(({ manifest }) => manifest),
  });
  return { ...done, ...(queue !== undefined && { warm: queue }) };
}
