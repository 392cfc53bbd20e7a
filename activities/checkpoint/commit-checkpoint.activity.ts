import type { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { CheckpointManifest } from '../../schemas/checkpoint.js';
import { IterationTiming, type Timing } from '../../schemas/metrics.js';
import { CommitCheckpointInput, type IterationResult } from '../../schemas/steps.js';
import { GroupsManifest, ScoresManifest } from '../../schemas/turn-pool.js';
import { TurnStateManifest } from '../../schemas/turn-state.js';
import { commitOnce, timingOf } from '../artifacts/commit-once.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { openedRun, stepOf } from '../run/run-context.js';
import { checkpointManifest } from './checkpoint-manifest.js';
import { iterationResult } from './iteration-result.js';

/** Commits theta_{k+1}: from here on the iteration counts. Control queue. */
export const createCommitCheckpoint = ({ artifacts }: Pick<CpuDependencies, 'artifacts'>) =>
  async function commitCheckpoint(input: z.input<typeof CommitCheckpointInput>): Promise<IterationResult> {
    const { run, iteration, ...parts } = CommitCheckpointInput.parse(input);
    const key = keys.checkpoint(run.runId, iteration);
    const opened = await openedRun(artifacts, run, { iteration });
    const timing = await iterationTiming(artifacts, parts);
    const { ref, manifest } = await commitOnce(
      artifacts,
      key,
      CheckpointManifest,
      stepOf(opened, { iteration, ...parts }),
      async () => {
        const [groups, scores, turnStates] = await Promise.all([
          artifacts.getJson(parts.groups, GroupsManifest),
          artifacts.getJson(parts.scores, ScoresManifest),
          Promise.all(parts.turnStates.map((state) => artifacts.getJson(state, TurnStateManifest))),
        ]);
        await artifacts.commitManifest(keys.iterationTiming(run.runId, iteration), timing, IterationTiming);
        return { manifest: checkpointManifest({ iteration, groups, scores, turnStates }), tokens: 0 };
      },
    );
    return iterationResult(manifest, ref, timing);
  };

type Parts = Pick<CommitCheckpointInput, 'rollouts' | 'groups' | 'scores' | 'turnStates'>;

async function iterationTiming(
  artifacts: ArtifactStore,
  { rollouts, groups, scores, turnStates }: Parts,
): Promise<IterationTiming> {
  const total = async (steps: readonly ArtifactRef[]): Promise<Timing> => {
    const timings = await Promise.all(steps.map(({ key }) => timingOf(artifacts, key)));
    return timings.reduce((sum, { seconds, tokens, storageSeconds }) => ({
      seconds: sum.seconds + seconds,
      tokens: sum.tokens + tokens,
      storageSeconds: sum.storageSeconds + storageSeconds,
    }));
  };
  return {
    rollout: await total(rollouts),
    group: await total([groups]),
    score: await total([scores]),
    update: await total(turnStates),
  };
}
