import type { z } from 'zod';
import { CheckpointManifest } from '../../schemas/checkpoint.js';
import { RolloutShardManifest } from '../../schemas/rollout.js';
import { CommitCheckpointInput, type IterationResult } from '../../schemas/steps.js';
import { GroupsManifest, ScoresManifest } from '../../schemas/turn-pool.js';
import { TurnStateManifest } from '../../schemas/turn-state.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { CpuDependencies } from '../dependencies.js';
import { checkpointManifest } from './checkpoint-manifest.js';

/** Commits theta_{k+1}: from here on the iteration counts. CPU queue. */
export const createCommitCheckpoint = ({ artifacts }: Pick<CpuDependencies, 'artifacts'>) =>
  async function commitCheckpoint(input: z.input<typeof CommitCheckpointInput>): Promise<IterationResult> {
    const parsed = CommitCheckpointInput.parse(input);
    const { run, iteration } = parsed;
    const key = keys.checkpoint(run.runId, iteration);
    const { ref, manifest } = await commitOnce(artifacts, key, CheckpointManifest, inputHashOf(parsed), async () => {
      const [rollouts, groups, scores, turnStates] = await Promise.all([
        Promise.all(parsed.rollouts.map((shard) => artifacts.getJson(shard, RolloutShardManifest))),
        artifacts.getJson(parsed.groups, GroupsManifest),
        artifacts.getJson(parsed.scores, ScoresManifest),
        Promise.all(parsed.turnStates.map((state) => artifacts.getJson(state, TurnStateManifest))),
      ]);
      return checkpointManifest({ iteration, rollouts, groups, scores, turnStates });
    });
    return summaryOf(manifest, ref);
  };

function summaryOf({ iteration, policy, rollout, groupsWithoutVariance, turns, timing }: CheckpointManifest, checkpoint: IterationResult['checkpoint']): IterationResult {
  const steps = Object.values(timing);
  return {
    iteration,
    checkpoint,
    policy,
    meanReward: rollout.meanReward,
    successRate: rollout.successRate,
    turnPassRate: rollout.turnPassRate,
    groupsWithoutVariance,
    klReference: turns.reduce((sum, turn) => sum + turn.klReference, 0) / turns.length,
    violations: turns.filter(({ guard }) => guard.violations.length > 0).length,
    rejections: turns.filter(({ guard }) => guard.decision === 'rejected').length,
    seconds: steps.reduce((sum, step) => sum + step.seconds, 0),
    tokens: steps.reduce((sum, step) => sum + step.tokens, 0),
  };
}
