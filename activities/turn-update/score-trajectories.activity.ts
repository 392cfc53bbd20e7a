import { ScoreTrajectoriesInput, type ScoreTrajectoriesResult } from '../../schemas/steps.js';
import { ValueHead } from '../../schemas/turn-state.js';
import { ScoresManifest, type TrajectoryScores } from '../../schemas/turn-pool.js';
import { keys } from '../artifacts/store.js';
import { algorithmOf } from '../algorithms/index.js';
import type { GpuDependencies } from '../dependencies.js';
import { readGroups, trainedOn } from '../grouping/read-groups.js';
import { mean } from '../numerics/statistics.js';
import { computeOnce } from '../run/arithmetic.js';
import { openedRun, policyWeightsOf, stepOf } from '../run/run-context.js';

/**
 * Log-probs of every response under theta_k and under the frozen reference, once, before the first
 * turn's update: the reference points of the ratio (Eq. 6) and of the KL term. GPU queue.
 */
export const createScoreTrajectories = (dependencies: GpuDependencies) =>
  async function scoreTrajectories(input: ScoreTrajectoriesInput): Promise<ScoreTrajectoriesResult> {
    const { artifacts, policy, heartbeats } = dependencies;
    const { run, iteration, groups, policy: theta } = ScoreTrajectoriesInput.parse(input);
    const key = keys.scores(run.runId, iteration);
    const opened = await openedRun(artifacts, run, { iteration });
    const step = stepOf(opened, { iteration, groups, policy: theta });
    const { ref, manifest } = await computeOnce(dependencies, opened, key, ScoresManifest, step, () =>
      heartbeats(async (report) => {
        const { algorithm, rollout, microBatchTokens, training } = opened.config;
        const needed = algorithmOf(algorithm).scores;
        const { seated } = await readGroups(artifacts, groups);
        const scored = trainedOn(seated, algorithm);
        const turns = scored.flatMap(({ trajectory }) =>
          trajectory.turns.map((turn) => ({ prefixGroup: trajectory.taskId, turn })),
        );
        const sequences = turns.map(({ prefixGroup, turn }) => ({
          prefixGroup,
          promptIds: turn.promptIds,
          responseIds: turn.responseIds,
        }));
        const options = { temperature: rollout.temperature, microBatchTokens };
        await policy.use(policyWeightsOf(dependencies, opened, theta), report);
        const old = await policy.logProbs(sequences, { ...options, weights: 'current' }, report);
        // The zero adapter on the frozen weights: theta_k is the reference. (Weights of their own are rounded where frozen ones are not.)
        const isReference = training === 'lora' && theta.adapter === null;
        const reference = !needed.reference
          ? null
          : isReference
            ? old
            : await policy.logProbs(sequences, { ...options, weights: 'reference' }, report);
        const head = needed.values && theta.valueHead ? await artifacts.getJson(theta.valueHead, ValueHead) : null;
        const values = head && (await policy.values(sequences, head.weights, options, report));
        const perTurn = old.map((logProbs, i) => ({
          old: logProbs,
          reference: reference && reference[i]!,
          // Before its first update the value head foretells 0.
          ...(needed.values && { values: values ? values[i]! : logProbs.map(() => 0) }),
        }));
        const scores = scored.map(
          ({ id, trajectory }): TrajectoryScores => ({ id, turns: perTurn.splice(0, trajectory.turns.length) }),
        );
        const gaps = turns.flatMap(({ turn }, i) =>
          turn.behaviorLogProbs.map((logProb, l) => Math.abs(logProb - old[i]![l]!)),
        );
        const behaviorGap = { max: gaps.reduce((a, b) => Math.max(a, b), 0), mean: mean(gaps) };
        return {
          manifest: { kind: 'scores', scores: await artifacts.putJson(scores), behaviorGap },
          tokens: sequences.reduce(
            (total, { promptIds, responseIds }) => total + promptIds.length + responseIds.length,
            0,
          ),
        };
      }),
    );
    return { manifest: ref, behaviorGap: manifest.behaviorGap };
  };
