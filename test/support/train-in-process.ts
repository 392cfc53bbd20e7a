import { createCpuActivities, createGpuActivities } from '../../activities/index.js';
import type { GpuDependencies } from '../../activities/dependencies.js';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import type { RunRef } from '../../schemas/run.js';
import type { UpdateTurnInput } from '../../schemas/steps.js';
import type { TrainInput } from '../../schemas/run-request.js';
import type { PolicyState } from '../../schemas/turn-state.js';
import { turnOrder } from '../../workflows/turn-order.js';
import { openInput } from './run-on-paper.js';

/** What the train workflow does, without a server: for tests of what a run leaves in the store. */
export async function trainInProcess(
  dependencies: GpuDependencies,
  workflowId: string,
  input: TrainInput,
): Promise<PolicyState> {
  const activities = { ...createCpuActivities(dependencies), ...createGpuActivities(dependencies) };
  /** As workflows/sharded-turn.ts does. */
  async function spreadTurn(input: UpdateTurnInput, { shards, steps: count }: NonNullable<RunRef['spread']>) {
    const inShards = async (work: (shard: number) => Promise<{ manifest: ArtifactRef }>) =>
      (await Promise.all(Array.from({ length: shards }, (_, shard) => work(shard)))).map(({ manifest }) => manifest);
    let stepped = input.policy;
    const steps: ArtifactRef[] = [];
    for (let step = 0; step < count; step++) {
      const gradients = await inShards((shard) =>
        activities.computeGradient({ ...input, step, shard, shards, stepped }),
      );
      const moved = await activities.applyGradients({ ...input, step, stepped, gradients });
      stepped = moved.policy;
      steps.push(moved.manifest);
    }
    const ratios = await inShards((shard) => activities.measureRatios({ ...input, shard, shards, stepped }));
    return activities.finishTurn({ ...input, stepped, steps, ratios });
  }
  const { run, next, progress } = await activities.openRun(openInput(workflowId, input));
  let policy: PolicyState = progress.policy ?? { folded: [], adapter: null, moments: null, optimizerSteps: 0 };
  for (let iteration = progress.iteration; iteration < run.iterations; iteration++) {
    const now = next && iteration >= next.from ? next.run : run;
    const at = { run: now, iteration };
    const rollouts: ArtifactRef[] = [];
    for (let shard = 0; shard < now.shards; shard++)
      rollouts.push((await activities.collectRollouts({ ...at, shard, policy })).manifest);
    const groups = await activities.groupRollouts({ ...at, shards: rollouts });
    const scores = await activities.scoreTrajectories({ ...at, groups: groups.manifest, policy });
    const made = { groups: groups.manifest, scores: scores.manifest };
    let theta: { policy: PolicyState; suffixProducts: ArtifactRef | null } = { policy, suffixProducts: null };
    const turnStates: ArtifactRef[] = [];
    const order = turnOrder(now.updateOrder, groups.turns, iteration);
    for (const [index, turn] of order.entries()) {
      const input = { ...at, turn, updatedBefore: order.slice(0, index), ...made, ...theta };
      const {
        policy: moved,
        suffixProducts,
        manifest,
      } = now.spread ? await spreadTurn(input, now.spread) : await activities.updateTurn(input);
      theta = { policy: moved, suffixProducts };
      turnStates.push(manifest);
    }
    policy = (await activities.commitCheckpoint({ ...at, rollouts, ...made, turnStates })).policy;
  }
  await activities.releaseRun({ run });
  return policy;
}
