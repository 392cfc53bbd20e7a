import type { z } from 'zod';
import { EvaluationManifest, type TaskEvaluation } from '../../schemas/evaluation.js';
import { EvaluatePolicyInput, type EvaluatePolicyResult } from '../../schemas/steps.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import type { Split, Task } from '../../schemas/task.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { waitOptions } from '../heartbeats.js';
import { episodeId } from '../rollout/episode-id.js';
import { playEpisodes, episodeSpecs } from '../rollout/play-episodes.js';
import { distinctTokens, rolloutMetrics } from '../rollout/rollout-metrics.js';
import { shardsOf } from '../rollout/select-tasks.js';
import { evaluationFingerprint } from '../run/settings-in-force.js';
import { computeOnce } from '../run/arithmetic.js';
import { modelFileOf, openedRun, policyWeightsOf, stepOf } from '../run/run-context.js';

/** Plays every task of a split under one policy and scores it; nothing is learnt from it. GPU queue. */
export const createEvaluatePolicy = ({
  artifacts,
  arithmetic,
  policy,
  codec,
  environments,
  modelsDir,
  heartbeats,
}: GpuDependencies) =>
  async function evaluatePolicy(input: z.input<typeof EvaluatePolicyInput>): Promise<EvaluatePolicyResult> {
    const parsed = EvaluatePolicyInput.parse(input);
    const { run, name, split, iterationsDone } = parsed;
    const opened = await openedRun(artifacts, run, { iteration: iterationsDone });
    const { seed, rollout, evaluation, environment } = opened.config;
    const temperature = evaluation.temperature ?? rollout.temperature;
    const samples =
      split === 'train' ? evaluation.samplesPerTask : (evaluation.heldoutSamplesPerTask ?? evaluation.samplesPerTask);
    const key = keys.evaluation(run.runId, iterationsDone, name, split);
    const step = stepOf(
      { ...opened, fingerprint: evaluationFingerprint(opened, opened.config) },
      { name, split, iterationsDone, temperature, samples, policy: parsed.policy },
    );
    const { ref, manifest } = await computeOnce({ artifacts, arithmetic }, opened, key, EvaluationManifest, step, () =>
      heartbeats(async (report, cancelled) => {
        const tasks = split === 'train' ? opened.trainTasks : opened.heldoutTasks;
        const players = {
          policy,
          codec: await codec(modelFileOf(modelsDir, opened)),
          environment: environments(environment.name, {
            taskSet: environment.taskSet,
            ...waitOptions(report, cancelled),
          }),
          onProgress: report,
        };
        await policy.use(policyWeightsOf({ artifacts, modelsDir }, opened, parsed.policy), report);
        const trajectories: Trajectory[] = [];
        // As many episodes at once as in a rollout: memory is bounded by the same setting.
        for (const shard of shardsOf(tasks, rollout.tasksPerShard)) {
          const specs = episodeSpecs(shard, samples, (task, sample) => ({
            episodeId: episodeId(run.runId, `evaluation-${name}`, task.id, sample),
            randomKey: `${seed}/evaluation-${name}/${task.id}/${sample}`,
          }));
          trajectories.push(...(await playEpisodes(specs, players, { ...rollout, temperature, seed })));
        }
        const manifest = {
          kind: 'evaluation' as const,
          name,
          split,
          iterationsDone,
          temperature,
          metrics: rolloutMetrics(trajectories),
          tasks: tasks.map((task) => taskEvaluation(task, split, trajectories)),
          trajectories: await artifacts.putJson(trajectories),
        };
        return { manifest, tokens: distinctTokens(trajectories) };
      }),
    );
    const { meanReward, successRate, turnPassRate } = manifest.metrics;
    return { manifest: ref, name, split, meanReward, successRate, turnPassRate };
  };

function taskEvaluation(task: Task, split: Split, trajectories: readonly Trajectory[]): TaskEvaluation {
  const own = trajectories.filter(({ taskId }) => taskId === task.id);
  const { meanReward, successRate } = rolloutMetrics(own);
  return { taskId: task.id, split, samples: own.length, meanReward, successRate };
}
