import type { z } from 'zod';
import { EvaluationPlan, EvaluationShardManifest, type EpisodeOutcome } from '../../schemas/evaluation-plan.js';
import { EvaluateShardInput, type EvaluateShardResult } from '../../schemas/steps.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import { commitOnce, unownedStep } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { waitOptions } from '../heartbeats.js';
import { mean } from '../numerics/statistics.js';
import { episodeId } from '../rollout/episode-id.js';
import { playEpisodes, episodeSpecs } from '../rollout/play-episodes.js';
import { distinctTokens } from '../rollout/rollout-metrics.js';
import { shardsOf } from '../rollout/select-tasks.js';
import { modelFileOf, policyWeightsOf } from '../run/run-context.js';

/** Plays the tasks of one shard of an evaluation under one of its policies. GPU queue. */
export const createEvaluateShard = ({
  artifacts,
  arithmetic,
  policy,
  codec,
  environments,
  modelsDir,
  heartbeats,
}: GpuDependencies) =>
  async function evaluateShard(input: z.input<typeof EvaluateShardInput>): Promise<EvaluateShardResult> {
    const parsed = EvaluateShardInput.parse(input);
    const { evaluation, policy: index, shard } = parsed;
    const key = keys.evaluationShard(evaluation.evaluationId, index, shard);
    const { ref, manifest } = await commitOnce(
      artifacts,
      key,
      EvaluationShardManifest,
      unownedStep(inputHashOf(parsed)),
      () =>
        heartbeats(async (report, cancelled) => {
          const plan = await artifacts.getJson(evaluation.plan, EvaluationPlan);
          const { config } = plan;
          const { model, lora, state } = plan.policies[index]!;
          const specs = episodeSpecs(
            shardsOf(plan.tasks, config.tasksPerShard)[shard] ?? [],
            config.samplesPerTask,
            (task, sample) => ({
              episodeId: episodeId(evaluation.evaluationId, `policy-${index}`, task.id, sample),
              // The same for both policies: what the draw gives one, it gives the other.
              randomKey: `${config.seed}/evaluate/${task.id}/${sample}`,
            }),
          );
          await policy.use(policyWeightsOf({ artifacts, modelsDir }, { model, config: { lora } }, state), report);
          const trajectories = await playEpisodes(
            specs,
            {
              policy,
              codec: await codec(modelFileOf(modelsDir, { model })),
              environment: environments(config.environment.name, {
                taskSet: config.environment.taskSet,
                ...waitOptions(report, cancelled),
              }),
              onProgress: report,
            },
            config,
          );
          const made = {
            kind: 'evaluation-shard' as const,
            arithmetic,
            policy: index,
            shard,
            outcomes: trajectories.map(outcomeOf),
            trajectories: await artifacts.putJson(trajectories),
          };
          return { manifest: made, tokens: distinctTokens(trajectories) };
        }),
    );
    const { outcomes } = manifest;
    return { manifest: ref, episodes: outcomes.length, meanReward: mean(outcomes.map(({ reward }) => reward)) };
  };

const outcomeOf = ({ taskId, sample, reward, success, end, turnsPassed, turns }: Trajectory): EpisodeOutcome => ({
  taskId,
  sample,
  reward,
  success,
  end,
  turnsPassed,
  responses: turns.length,
  sampledTokens: turns.reduce((total, { responseIds }) => total + responseIds.length, 0),
  truncated: turns.filter(({ responseEnd }) => responseEnd === 'token-limit').length,
});
