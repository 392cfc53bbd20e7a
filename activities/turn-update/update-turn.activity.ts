import { z } from 'zod';
import { UpdateTurnInput, type UpdateTurnResult } from '../../schemas/steps.js';
import { ScoresManifest, TrajectoryScores } from '../../schemas/turn-pool.js';
import { SuffixProducts, TurnStateManifest } from '../../schemas/turn-state.js';
import { commitOnce } from '../artifacts/commit-once.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { readGroups, trainedOn } from '../grouping/read-groups.js';
import { openedRun, policyWeightsOf, storedTensors } from '../run/run-context.js';
import { extendSuffixProducts, initialSuffixProducts } from './suffix-ratios.js';
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
    // A retry after a crash must not step theta twice: the key is the step's identity.
    const { ref, manifest } = await commitOnce(artifacts, key, TurnStateManifest, inputHashOf(input), () =>
      heartbeats(async (report) => {
        const started = performance.now();
        artifacts.takeSeconds();
        const opened = await openedRun(artifacts, run);
        const { algorithm, optimizer, rollout, microBatchTokens, seed } = opened.config;
        const { seated } = await readGroups(artifacts, groups);
        const products =
          suffixProducts === null ? initialSuffixProducts(seated.map(({ id }) => id)) : await artifacts.getJson(suffixProducts, SuffixProducts);
        const { scores: scoresRef } = await artifacts.getJson(scores, ScoresManifest);
        const scoresById = new Map((await artifacts.getJson(scoresRef, z.array(TrajectoryScores))).map(({ id, turns }) => [id, turns]));

        const pool = trainedOn(seated, algorithm).flatMap(({ id, taskId, advantage, trajectory }): PoolSample[] => {
          const played = trajectory.turns[turn - 1];
          if (!played) return []; // ended earlier: inactive, its ratio stays 1
          const { old, reference } = scoresById.get(id)![turn - 1]!;
          const { promptIds, responseIds } = played;
          return [{ id, taskId, promptIds, responseIds, old, reference, weight: products[id]! * advantage }];
        });
        await policy.use(policyWeightsOf(dependencies, opened, theta), report);
        await policy.useMoments(theta.moments && storedTensors(artifacts, theta.moments), theta.optimizerSteps);
        const options = { turn, algorithm, optimizer, temperature: rollout.temperature, microBatchTokens, randomKey: `${seed}/${iteration}/${turn}` };
        const { ratios, metrics, tokens } = await updatePool(policy, pool, options, report);
        const trained = await policy.trained();
        const [adapter, moments] = await Promise.all([artifacts.putBlob(trained.adapter), artifacts.putBlob(trained.moments)]);
        return {
          kind: 'turn-state' as const,
          iteration,
          turn,
          policy: { folded: theta.folded, adapter, moments, optimizerSteps: theta.optimizerSteps + metrics.optimizerSteps },
          suffixProducts: await artifacts.putJson(extendSuffixProducts(products, ratios, algorithm)),
          metrics,
          timing: { seconds: (performance.now() - started) / 1000, tokens, storageSeconds: artifacts.takeSeconds() },
        };
      }),
    );
    return { manifest: ref, policy: manifest.policy, suffixProducts: manifest.suffixProducts, metrics: manifest.metrics, timing: manifest.timing };
  };
