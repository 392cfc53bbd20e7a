import { z } from 'zod';
import { UpdateTurnInput, type UpdateTurnResult } from '../../schemas/steps.js';
import { ScoresManifest, TrajectoryScores } from '../../schemas/turn-pool.js';
import { SuffixProducts, TurnStateManifest } from '../../schemas/turn-state.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { groupRelativeAdvantages } from '../grouping/advantages.js';
import { readGroups, trainedOn, type SeatedTrajectory } from '../grouping/read-groups.js';
import { openedRun, policyWeightsOf, stepOf, storedTensors } from '../run/run-context.js';
import { extendSuffixProducts, initialSuffixProducts, sequenceRatio, turnsUpdatedBefore } from './suffix-ratios.js';
import { updatePool, type PoolSample } from './update-pool.js';

/**
 * Step 4 for one turn: steps theta on D_t weighted by M_{t+1} (Eq. 6), then multiplies the turn's new
 * ratios into M (Eq. 8). Theta, its moments and M are committed as one. GPU queue.
 */
export const createUpdateTurn = (dependencies: GpuDependencies) =>
  async function updateTurn(input: UpdateTurnInput): Promise<UpdateTurnResult> {
    const { artifacts, policy, heartbeats } = dependencies;
    const { run, iteration, turn, groups, scores, policy: theta, suffixProducts } = UpdateTurnInput.parse(input);
    const key = keys.turnState(run.runId, iteration, turn);
    const opened = await openedRun(artifacts, run, { iteration, turn });
    const step = stepOf(opened, { iteration, turn, groups, scores, policy: theta, suffixProducts });
    // A retry after a crash must not step theta twice: the key is the step's identity.
    const { ref, manifest } = await commitOnce(artifacts, key, TurnStateManifest, step, () =>
      heartbeats(async (report) => {
        const { algorithm, optimizer, rollout, microBatchTokens, seed } = opened.config;
        const { seated } = await readGroups(artifacts, groups);
        let products =
          suffixProducts === null ? initialSuffixProducts(seated.map(({ id }) => id)) : await artifacts.getJson(suffixProducts, SuffixProducts);
        const { scores: scoresRef } = await artifacts.getJson(scores, ScoresManifest);
        const scoresById = new Map((await artifacts.getJson(scoresRef, z.array(TrajectoryScores))).map(({ id, turns }) => [id, turns]));

        await policy.use(policyWeightsOf(dependencies, opened, theta), report);
        const trained = trainedOn(seated, algorithm);
        const seatOf = ({ id, taskId, trajectory }: SeatedTrajectory, t: number): Omit<PoolSample, 'weight'>[] => {
          const played = trajectory.turns[t - 1];
          if (!played) return []; // ended earlier: inactive, its ratio stays 1
          return [{ id, taskId, promptIds: played.promptIds, responseIds: played.responseIds, ...scoresById.get(id)![t - 1]! }];
        };
        if (algorithm.name === 'seeupo' && algorithm.suffixRatio === 'exact') {
          products = initialSuffixProducts(seated.map(({ id }) => id));
          for (const earlier of turnsUpdatedBefore(turn, algorithm.updateOrder, opened.config.rollout.maxTurns)) {
            const seats = trained.flatMap((seat) => seatOf(seat, earlier));
            const sequences = seats.map(({ taskId, promptIds, responseIds }) => ({ row: taskId, promptIds, responseIds }));
            const scoring = { temperature: rollout.temperature, microBatchTokens, weights: 'current' } as const;
            const current = seats.length === 0 ? [] : await policy.logProbs(sequences, scoring, report);
            products = extendSuffixProducts(products, new Map(seats.map(({ id, old }, i) => [id, sequenceRatio(current[i]!, old)])), algorithm);
          }
        }
        const advantages =
          algorithm.name === 'seeupo' && algorithm.advantageStatistics === 'turn-pool'
            ? groupRelativeAdvantages(seated, algorithm, new Set(seated.filter(({ turns }) => turns >= turn).map(({ id }) => id)))
            : new Map(seated.map(({ id, advantage }) => [id, advantage]));
        const pool = trained.flatMap((seat): PoolSample[] => {
          const weight = products[seat.id]! * advantages.get(seat.id)!; // M_{t+1}
          const turns = algorithm.name === 'seeupo' ? [turn] : seat.trajectory.turns.map((_, t) => t + 1);
          return turns.flatMap((t) => seatOf(seat, t)).map((sample) => ({ ...sample, weight }));
        });
        await policy.useMoments(theta.moments && storedTensors(artifacts, theta.moments), theta.optimizerSteps);
        const { temperature, maxResponseTokens } = rollout;
        const options = { turn, algorithm, optimizer, temperature, microBatchTokens, maxResponseTokens, randomKey: `${seed}/${iteration}/${turn}` };
        const { ratios, metrics, tokens } = await updatePool(policy, pool, options, report);
        const stepped = await policy.trained();
        const [adapter, moments] = await Promise.all([artifacts.putBlob(stepped.adapter), artifacts.putBlob(stepped.moments)]);
        const made = {
          kind: 'turn-state' as const,
          iteration,
          turn,
          policy: { folded: theta.folded, adapter, moments, optimizerSteps: theta.optimizerSteps + metrics.optimizerSteps },
          suffixProducts: await artifacts.putJson(algorithm.name === 'seeupo' ? extendSuffixProducts(products, ratios, algorithm) : products),
          metrics,
        };
        return { manifest: made, tokens };
      }),
    );
    return { manifest: ref, policy: manifest.policy, suffixProducts: manifest.suffixProducts, metrics: manifest.metrics };
  };
