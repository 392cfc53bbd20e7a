import { createCommitCheckpoint } from './checkpoint/commit-checkpoint.activity.js';
import type { CpuDependencies, GpuDependencies } from './dependencies.js';
import { createEvaluatePolicy } from './evaluation/evaluate-policy.activity.js';
import { createEvaluateShard } from './evaluation/evaluate-shard.activity.js';
import { createOpenEvaluation } from './evaluation/open-evaluation.activity.js';
import { createReportEvaluation } from './evaluation/report-evaluation.activity.js';
import { withClassifiedFailures } from './failures.js';
import type { GpuActivityName } from './gpu-activity-names.js';
import { withHeartbeating } from './heartbeats.js';
import { createGroupRollouts } from './grouping/group-rollouts.activity.js';
import { createWriteReport } from './report/write-report.activity.js';
import { createApplyRetention } from './retention/apply-retention.activity.js';
import { createCollectRollouts } from './rollout/collect-rollouts.activity.js';
import { createOpenRun } from './run/open-run.activity.js';
import { createReleaseRun } from './run/release-run.activity.js';
import { createReviseSettings } from './run/revise-settings.activity.js';
import { createApplyGradients } from './turn-update/apply-gradients.activity.js';
import { createComputeGradient } from './turn-update/compute-gradient.activity.js';
import { createFinishTurn } from './turn-update/finish-turn.activity.js';
import { createMeasureRatios } from './turn-update/measure-ratios.activity.js';
import { createScoreTrajectories } from './turn-update/score-trajectories.activity.js';
import { createUpdateTurn } from './turn-update/update-turn.activity.js';
import { createWarmStart } from './warm-start/warm-start.activity.js';

/** Queue `<prefix>-control`, in pipeline order. */
export const createCpuActivities = (dependencies: CpuDependencies) =>
  withClassifiedFailures(
    withHeartbeating(dependencies.heartbeats, {
      openRun: createOpenRun(dependencies),
      reviseSettings: createReviseSettings(dependencies),
      groupRollouts: createGroupRollouts(dependencies),
      finishTurn: createFinishTurn(dependencies),
      commitCheckpoint: createCommitCheckpoint(dependencies),
      applyRetention: createApplyRetention(dependencies),
      writeReport: createWriteReport(dependencies),
      releaseRun: createReleaseRun(dependencies),
      openEvaluation: createOpenEvaluation(dependencies),
      reportEvaluation: createReportEvaluation(dependencies),
    }),
  );
export type CpuActivities = ReturnType<typeof createCpuActivities>;

/** Queue `<prefix>-gpu`, one at a time per device, in pipeline order. */
export const createGpuActivities = (dependencies: GpuDependencies) =>
  withClassifiedFailures({
    warmStart: createWarmStart(dependencies),
    evaluatePolicy: createEvaluatePolicy(dependencies),
    collectRollouts: createCollectRollouts(dependencies),
    scoreTrajectories: createScoreTrajectories(dependencies),
    updateTurn: createUpdateTurn(dependencies),
    computeGradient: createComputeGradient(dependencies),
    applyGradients: createApplyGradients(dependencies),
    measureRatios: createMeasureRatios(dependencies),
    evaluateShard: createEvaluateShard(dependencies),
  } satisfies Record<GpuActivityName, unknown>);
export type GpuActivities = ReturnType<typeof createGpuActivities>;
