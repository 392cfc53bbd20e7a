import type { RunRef } from '../schemas/run.js';
import type { UpdateTurnInput, UpdateTurnResult } from '../schemas/steps.js';
import { cpu, gpu } from './activity-proxies.js';
import { warmFirst } from './warm-first.js';

/**
 * What updateTurn does, spread over workers (`update.shards`): each optimiser step's gradient is
 * computed in shards of whole tasks and summed in their order, so the result does not depend on who
 * computes what. The step itself is asked of the worker first that has made the step before it, and so holds theta and
 * its moments.
 *
 * @param holder  queue of that worker, if one is known
 */
export async function updateTurnSpread(
  input: UpdateTurnInput,
  { shards, steps }: NonNullable<RunRef['spread']>,
  holder?: string,
): Promise<UpdateTurnResult> {
  const inShards = <R>(work: (shard: number) => Promise<R>): Promise<R[]> =>
    Promise.all(Array.from({ length: shards }, (_, shard) => work(shard)));
  const step = (n: number) => `turn ${input.turn}, step ${n + 1} of ${steps}`;
  let stepped = input.policy;
  let warm = holder;
  const taken = [];
  for (let n = 0; n < steps; n++) {
    const gradients = await inShards((shard) =>
      gpu(`${step(n)}: gradient, shard ${shard + 1} of ${shards}`).computeGradient({
        ...input,
        step: n,
        shard,
        shards,
        stepped,
      }),
    );
    const moved = await warmFirst(warm, `${step(n)}: sum and step`, (activities) =>
      activities.applyGradients({ ...input, step: n, stepped, gradients: gradients.map(({ manifest }) => manifest) }),
    );
    ({ policy: stepped, warm } = moved);
    taken.push(moved.manifest);
  }
  const ratios = await inShards((shard) =>
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
    steps: taken,
    ratios: ratios.map(({ manifest }) => manifest),
  });
  return { ...done, ...(warm !== undefined && { warm }) };
}
