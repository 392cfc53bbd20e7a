import { createCpuActivities, createGpuActivities } from '../../activities/index.js';
import type { GpuDependencies } from '../../activities/dependencies.js';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import type { TrainInput } from '../../schemas/run-request.js';
import type { PolicyState } from '../../schemas/turn-state.js';
import { turnOrder } from '../../workflows/turn-order.js';
import { openInput } from './run-on-paper.js';

/** What the train workflow does, without a server: for tests of what a run leaves in the store. */
export async function trainInProcess(dependencies: GpuDependencies, workflowId: string, input: TrainInput): Promise<PolicyState> {
  const activities = { ...createCpuActivities(dependencies), ...createGpuActivities(dependencies) };
  const { run, next, progress } = await activities.openRun(openInput(workflowId, input));
  let policy: PolicyState = progress.policy ?? { folded: [], adapter: null, moments: null, optimizerSteps: 0 };
  for (let iteration = progress.iteration; iteration < run.iterations; iteration++) {
    const now = next && iteration >= next.from ? next.run : run;
    const at = { run: now, iteration };
    const rollouts: ArtifactRef[] = [];
    for (let shard = 0; shard < now.shards; shard++) rollouts.push((await activities.collectRollouts({ ...at, shard, policy })).manifest);
    const groups = await activities.groupRollouts({ ...at, shards: rollouts });
    const scores = await activities.scoreTrajectories({ ...at, groups: groups.manifest, policy });
    const made = { groups: groups.manifest, scores: scores.manifest };
    let theta: { policy: PolicyState; suffixProducts: ArtifactRef | null } = { policy, suffixProducts: null };
    const turnStates: ArtifactRef[] = [];
    for (const turn of turnOrder(now.updateOrder, groups.turns, iteration)) {
      const { policy: moved, suffixProducts, manifest } = await activities.updateTurn({ ...at, turn, ...made, ...theta });
      theta = { policy: moved, suffixProducts };
      turnStates.push(manifest);
    }
    policy = (await activities.commitCheckpoint({ ...at, rollouts, ...made, turnStates })).policy;
  }
  await activities.releaseRun({ run });
  return policy;
}
