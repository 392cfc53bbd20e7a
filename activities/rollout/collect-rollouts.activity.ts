import { RolloutShardManifest } from '../../schemas/rollout.js';
import { CollectRolloutsInput, type CollectRolloutsResult } from '../../schemas/steps.js';
import type { z } from 'zod';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { computeOnce } from '../run/arithmetic.js';
import { modelFileOf, openedRun, policyWeightsOf, stepOf } from '../run/run-context.js';
import { waitOptions } from '../heartbeats.js';
import { episodeId } from './episode-id.js';
import { playEpisodes, episodeSpecs } from './play-episodes.js';
import { distinctTokens, rolloutMetrics } from './rollout-metrics.js';
import { selectTasks, shardsOf } from './select-tasks.js';

/** Samples G trajectories for each task of a shard under theta_k: the first step of an iteration. GPU queue. */
export const createCollectRollouts = ({
  artifacts,
  arithmetic,
  policy,
  codec,
  environments,
  modelsDir,
  heartbeats,
}: GpuDependencies) =>
  async function collectRollouts(input: z.input<typeof CollectRolloutsInput>): Promise<CollectRolloutsResult> {
    const parsed = CollectRolloutsInput.parse(input);
    const { run, iteration, shard } = parsed;
    const key = keys.rolloutShard(run.runId, iteration, shard);
    const opened = await openedRun(artifacts, run, { iteration });
    const step = stepOf(opened, { iteration, shard, policy: parsed.policy });
    const { ref, manifest } = await computeOnce(
      { artifacts, arithmetic },
      opened,
      key,
      RolloutShardManifest,
      step,
      () =>
        heartbeats(async (report, cancelled) => {
          const { seed, rollout, environment } = opened.config;
          const tasks =
            shardsOf(selectTasks(opened.config, opened.trainTasks, iteration), rollout.tasksPerShard)[shard] ?? [];
          const specs = episodeSpecs(tasks, rollout.groupSize, (task, sample) => ({
            episodeId: episodeId(run.runId, iteration, task.id, sample),
            randomKey: `${seed}/${iteration}/${task.id}/${sample}`,
          }));
          await policy.use(policyWeightsOf({ artifacts, modelsDir }, opened, parsed.policy), report);
          const trajectories = await playEpisodes(
            specs,
            {
              policy,
              codec: await codec(modelFileOf(modelsDir, opened)),
              environment: environments(environment.name, {
                taskSet: environment.taskSet,
                ...waitOptions(report, cancelled),
              }),
              onProgress: report,
            },
            { ...rollout, seed },
          );
          return {
            manifest: {
              kind: 'rollout-shard',
              shard,
              trajectories: await artifacts.putJson(trajectories),
              metrics: rolloutMetrics(trajectories),
            },
            tokens: distinctTokens(trajectories),
          };
        }),
    );
    return { manifest: ref, metrics: manifest.metrics };
  };
