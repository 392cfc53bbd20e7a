import type { RunManifest } from '../../schemas/run.js';
import type { ArtifactStore } from '../artifacts/store.js';
import type { Policy, Precision } from '../policy/policy.js';
import { policyWeightsOf } from '../run/run-context.js';
import { Unverified } from './unverified.js';
import type { VerifiedIteration } from './verify-iteration.js';

export interface LogProbsOptions {
  readonly artifacts: ArtifactStore;
  readonly policy: Policy;
  readonly modelsDir: string;
  /** Nats; of tokens sampled in the precision that is recorded, null if none is. */
  readonly tolerance: (recorded: Precision | null) => number;
}

/**
 * Takes the log-prob of every sampled token again, under the weights that are recorded to have sampled it.
 *
 * @throws {Unverified} naming the first token whose recorded log-prob is another's
 */
export async function verifyLogProbs(
  { artifacts, policy, modelsDir, tolerance: toleranceOf }: LogProbsOptions,
  run: RunManifest,
  { config, policy: theta, trajectories }: VerifiedIteration,
): Promise<{ tokens: number; largestGap: number }> {
  // Of weights that retention deleted there is nothing to take again.
  if (theta === null) return { tokens: 0, largestGap: 0 };
  await policy.use(policyWeightsOf({ artifacts, modelsDir }, { ...run, config }, theta));
  const responses = trajectories.flatMap(({ shard, trajectory, precision }) =>
    trajectory.turns.map((turn) => ({ shard, trajectory, turn, tolerance: toleranceOf(precision) })),
  );
  const sequences = responses.map(({ trajectory, turn }) => ({
    prefixGroup: trajectory.taskId,
    promptIds: turn.promptIds,
    responseIds: turn.responseIds,
  }));
  const scoring = {
    temperature: config.rollout.temperature,
    microBatchTokens: config.microBatchTokens,
    weights: 'current',
  } as const;
  const again = await policy.logProbs(sequences, scoring);
  let tokens = 0;
  let largestGap = 0;
  for (const [i, { shard, trajectory, turn, tolerance }] of responses.entries()) {
    for (const [l, recorded] of turn.behaviorLogProbs.entries()) {
      const gap = Math.abs(recorded - again[i]![l]!);
      // Not ">": NaN is wrong, too.
      if (!(gap <= tolerance)) {
        throw new Unverified(
          shard,
          `episode ${trajectory.id}, turn ${turn.turn}, token ${l}: the sampler recorded a log-prob of ${recorded}, the recorded weights give ${again[i]![l]!} (more than ${tolerance} nats apart): ` +
            'the weights, the tokens or the record were changed, or the run was computed in another precision',
        );
      }
      largestGap = Math.max(largestGap, gap);
      tokens += 1;
    }
  }
  return { tokens, largestGap };
}
