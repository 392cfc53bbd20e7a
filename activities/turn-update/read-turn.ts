import { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import type { UpdateTurnInput } from '../../schemas/steps.js';
import { ScoresManifest, TrajectoryScores } from '../../schemas/turn-pool.js';
import { SuffixProducts } from '../../schemas/turn-state.js';
import { keptFromLast } from '../artifacts/last-read.js';
import type { ArtifactStore } from '../artifacts/store.js';
import { algorithmOf } from '../algorithms/index.js';
import { initialSuffixProducts } from '../algorithms/suffix-ratios.js';
import { readGroups, trainedOn, type SeatedTrajectory } from '../grouping/read-groups.js';
import type { OpenedRun } from '../run/run-context.js';
import { learningRateAt } from './learning-rate.js';
import type { PoolSample } from './pool-sample.js';
import type { UpdatePoolOptions } from './update-pool.js';

/** A turn's update before theta comes into it. */
export interface Turn {
  /** Every trajectory of the iteration: the seats of M. */
  readonly seated: readonly SeatedTrajectory[];
  /** Those that are trained on. */
  readonly trained: readonly SeatedTrajectory[];
  /** Products of ratios as the turn before left them; 1 for each before the first, Eq. 7. */
  readonly products: SuffixProducts;
  readonly options: UpdatePoolOptions;
  /**
   * A trajectory's tokens and scores at a turn, as a list of one; empty if it ended earlier: inactive, its ratio stays
   * 1.
   */
  seatAt(seat: SeatedTrajectory, turn: number): Omit<PoolSample, 'advantage' | 'suffixProduct' | 'critic'>[];
  /** D_t, weighted by M_{t+1} = product x A; one pool with all turns where the algorithm updates them at once. */
  poolOf(products: SuffixProducts): PoolSample[];
}

const keptScores = keptFromLast<Awaited<ReturnType<typeof readScores>>>();

/** Log-probs per turn by trajectory. */
async function readScores(
  artifacts: ArtifactStore,
  ref: ArtifactRef,
): Promise<ReadonlyMap<string, TrajectoryScores['turns']>> {
  const { scores } = await artifacts.getJson(ref, ScoresManifest);
  return new Map((await artifacts.getJson(scores, z.array(TrajectoryScores))).map(({ id, turns }) => [id, turns]));
}

/** Reads what a turn's update works on. The same on every worker that takes part in it. */
export async function readTurn(
  artifacts: ArtifactStore,
  { config }: OpenedRun,
  { iteration, turn, groups, scores, policy, suffixProducts }: Omit<UpdateTurnInput, 'run'>,
): Promise<Turn> {
  const { algorithm, optimizer, guard, rollout, microBatchTokens, seed, iterations } = config;
  const { seated } = await readGroups(artifacts, groups);
  const products =
    suffixProducts === null
      ? initialSuffixProducts(seated.map(({ id }) => id))
      : await artifacts.getJson(suffixProducts, SuffixProducts);
  const scoresById = await keptScores(artifacts, scores.sha256, () => readScores(artifacts, scores));
  const trained = trainedOn(seated, algorithm);
  const { pooling, advantages } = algorithmOf(algorithm);
  const advantageOf = advantages({
    episodes: seated.map(({ trajectory }) => trajectory),
    trained: trained.map(({ trajectory }) => trajectory),
    turn,
    valuesOf: (id) => scoresById.get(id)!.map(({ values }) => values!),
  });

  const seatAt: Turn['seatAt'] = ({ id, taskId, trajectory }, t) => {
    const played = trajectory.turns[t - 1];
    if (!played) return [];
    const { old, reference } = scoresById.get(id)![t - 1]!;
    return [{ id, taskId, promptIds: played.promptIds, responseIds: played.responseIds, old, reference }];
  };
  const poolOf: Turn['poolOf'] = (weights) =>
    trained.flatMap((seat) =>
      pooling
        .turnsIn(turn, seat.turns)
        .flatMap((t) =>
          seatAt(seat, t).map(
            (sample): PoolSample => ({ ...sample, ...advantageOf(seat.id, t), suffixProduct: weights[seat.id]! }),
          ),
        ),
    );
  const { temperature, maxResponseTokens } = rollout;
  return {
    seated,
    trained,
    products,
    options: {
      turn,
      algorithm,
      optimizer,
      guard,
      learningRate: (step) => learningRateAt(optimizer, { iteration, iterations, step: policy.optimizerSteps + step }),
      temperature,
      microBatchTokens,
      maxResponseTokens,
      randomKey: `${seed}/${iteration}/${turn}`,
      unmoved: !pooling.isSequential || suffixProducts === null,
    },
    seatAt,
    poolOf,
  };
}
