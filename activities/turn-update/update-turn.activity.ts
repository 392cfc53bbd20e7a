import { UpdateTurnInput, type UpdateTurnResult } from '../../schemas/steps.js';
import { TurnStateManifest, ValueHead, type PolicyState } from '../../schemas/turn-state.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { keys } from '../artifacts/store.js';
import type { GpuDependencies } from '../dependencies.js';
import { computeOnce } from '../run/arithmetic.js';
import { momentsOf, openedRun, policyWeightsOf, stepOf } from '../run/run-context.js';
import { zeroValueHead } from '../algorithms/critic.js';
import { algorithmOf } from '../algorithms/index.js';
import { initialSuffixProducts, sequenceRatio } from '../algorithms/suffix-ratios.js';
import { readTurn } from './read-turn.js';
import { storeTrained } from './store-trained.js';
import { updatePool, type PoolUpdate } from './update-pool.js';

/**
 * Step 4 for one turn: steps theta on D_t weighted by M_{t+1} (Eq. 6), then multiplies the turn's new
 * ratios into M (Eq. 8). Theta, its moments and M are committed as one. An update that the guard rejects is committed as that: theta
 * and its moments are the ones that the turn found, M does not move. GPU queue.
 */
export const createUpdateTurn = (dependencies: GpuDependencies) =>
  async function updateTurn(input: UpdateTurnInput): Promise<UpdateTurnResult> {
    const { artifacts, policy, heartbeats } = dependencies;
    const { run, ...given } = UpdateTurnInput.parse(input);
    const { iteration, turn, updatedBefore, policy: theta } = given;
    const key = keys.turnState(run.runId, iteration, turn);
    const opened = await openedRun(artifacts, run, { iteration, turn });
    // A retry after a crash must not step theta twice: the key is the step's identity.
    const { ref, manifest } = await computeOnce(
      dependencies,
      opened,
      key,
      TurnStateManifest,
      stepOf(opened, given),
      () =>
        heartbeats(async (report) => {
          const { seated, trained, options, seatAt, poolOf, ...found } = await readTurn(artifacts, opened, given);
          const { temperature, microBatchTokens } = options;
          const { carried, critic } = algorithmOf(options.algorithm);
          await policy.use(policyWeightsOf(dependencies, opened, theta), report);
          let { products } = found;
          if (carried?.isRecomputed) {
            products = initialSuffixProducts(seated.map(({ id }) => id));
            for (const earlier of updatedBefore) {
              const seats = trained.flatMap((seat) => seatAt(seat, earlier));
              const sequences = seats.map(({ taskId, promptIds, responseIds }) => ({
                prefixGroup: taskId,
                promptIds,
                responseIds,
              }));
              const scoring = { temperature, microBatchTokens, weights: 'current' } as const;
              const current = seats.length === 0 ? [] : await policy.logProbs(sequences, scoring, report);
              products = carried.extend(
                products,
                new Map(seats.map(({ id, old }, i) => [id, sequenceRatio(current[i]!, old)])),
              );
            }
          }
          await policy.useMoments(momentsOf(artifacts, opened, theta), theta.optimizerSteps);
          const valueHead =
            critic === null
              ? undefined
              : theta.valueHead
                ? await artifacts.getJson(theta.valueHead, ValueHead)
                : zeroValueHead;
          const update = await updatePool(
            policy,
            poolOf(products),
            { ...options, ...(valueHead && { valueHead }) },
            report,
          );
          const made = {
            kind: 'turn-state' as const,
            iteration,
            turn,
            policy:
              update.metrics.guard.decision === 'rejected' ? theta : await stepped(opened.config.training, update),
            suffixProducts: await artifacts.putJson(carried?.extend(products, update.ratios) ?? products),
            metrics: update.metrics,
          };
          return { manifest: made, tokens: update.tokens };
        }),
    );
    return {
      manifest: ref,
      policy: manifest.policy,
      suffixProducts: manifest.suffixProducts,
      metrics: manifest.metrics,
    };

    /** Theta as the steps left it, stored. */
    async function stepped(
      training: TrainConfig['training'],
      { metrics, valueHead }: PoolUpdate,
    ): Promise<PolicyState> {
      const tensors = await storeTrained(artifacts, policy, training);
      const optimizerSteps = theta.optimizerSteps + metrics.optimizerSteps;
      return {
        folded: theta.folded,
        ...tensors,
        optimizerSteps,
        ...(valueHead && { valueHead: await artifacts.putJson(valueHead) }),
      };
    }
  };
