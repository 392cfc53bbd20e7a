import { z } from 'zod';
import type { UpdateTurnInput } from '../../schemas/steps.js';
import { ScoresManifest, TrajectoryScores } from '../../schemas/turn-pool.js';
import { SuffixProducts } from '../../schemas/turn-state.js';
import type { ArtifactStore } from '../artifacts/store.js';
import { groupRelativeAdvantages } from '../grouping/advantages.js';
import { readGroups, trainedOn, type SeatedTrajectory } from '../grouping/read-groups.js';
import type { OpenedRun } from '../run/run-context.js';
import { learningRateAt } from './learning-rate.js';
import { initialSuffixProducts } from './suffix-ratios.js';
import type { PoolSample, UpdatePoolOptions } from './update-pool.js';

/** A turn's update before theta comes into it. */
export interface Turn {
  /** Every trajectory of the iteration: the seats of M. */
  readonly seated: readonly SeatedTrajectory[];
  /** Those that are trained on. */
  readonly trained: readonly SeatedTrajectory[];
  /** Products of ratios as the turn before left them; 1 for each before the first, Eq. 7. */
  readonly products: SuffixProducts;
  readonly options: UpdatePoolOptions;
  /** A trajectory's seat at a turn, as a list of one; empty if it ended earlier: inactive, its ratio stays 1. */
  seatAt(seat: SeatedTrajectory, turn: number): Omit<PoolSample, 'weight'>[];
  /** D_t, weighted by M_{t+1} = product x A. */
  poolOf(products: SuffixProducts): PoolSample[];
}

/** Reads what a turn's update works on. The same on every worker that takes part in it. */
export async function readTurn(
  artifacts: ArtifactStore,
  { config }: OpenedRun,
  { iteration, turn, groups, scores, policy, suffixProducts }: Omit<UpdateTurnInput, 'run'>,
): Promise<Turn> {
  const { algorithm, optimizer, rollout, microBatchTokens, seed, iterations } = config;
  const { seated } = await readGroups(artifacts, groups);
  const products = suffixProducts === null ? initialSuffixProducts(seated.map(({ id }) => id)) : await artifacts.getJson(suffixProducts, SuffixProducts);
  const { scores: scoresRef } = await artifacts.getJson(scores, ScoresManifest);
  const scoresById = new Map((await artifacts.getJson(scoresRef, z.array(TrajectoryScores))).map(({ id, turns }) => [id, turns]));
  const trained = trainedOn(seated, algorithm);
  const advantages =
    algorithm.name === 'seeupo' && algorithm.advantageStatistics === 'turn-pool'
      ? groupRelativeAdvantages(seated, algorithm, new Set(seated.filter(({ turns }) => turns >= turn).map(({ id }) => id)))
      : new Map(seated.map(({ id, advantage }) => [id, advantage]));

  const seatAt: Turn['seatAt'] = ({ id, taskId, trajectory }, t) => {
    const played = trajectory.turns[t - 1];
    return played ? [{ id, taskId, promptIds: played.promptIds, responseIds: played.responseIds, ...scoresById.get(id)![t - 1]! }] : [];
  };
  const { temperature, maxResponseTokens } = rollout;
  const learningRate = (step: number): number => learningRateAt(optimizer, { iteration, iterations, step: policy.optimizerSteps + step });
  return {
    seated,
    trained,
    products,
    options: { turn, algorithm, optimizer, learningRate, temperature, microBatchTokens, maxResponseTokens, randomKey: `${seed}/${iteration}/${turn}` },
    seatAt,
    poolOf: (weights) =>
      trained.flatMap((seat): PoolSample[] => {
        const weight = weights[seat.id]! * advantages.get(seat.id)!; // M_{t+1}
        const turns = algorithm.name === 'seeupo' ? [turn] : seat.trajectory.turns.map((_, t) => t + 1);
        return turns.flatMap((t) => seatAt(seat, t)).map((sample) => ({ ...sample, weight }));
      }),
  };
}
