import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import type { CheckpointManifest } from '../../schemas/checkpoint.js';
import type { IterationTiming } from '../../schemas/metrics.js';
import type { IterationResult } from '../../schemas/steps.js';

/** What the run's loop and the Web UI need of a committed iteration. */
export function iterationResult(
  manifest: CheckpointManifest,
  checkpoint: ArtifactRef,
  timing: IterationTiming,
): IterationResult {
  const { iteration, policy, rollout, groupsWithoutVariance, turns } = manifest;
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
