import { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import type { UpdateTurnInput } from '../../schemas/steps.js';
import { ScoresManifest, TrajectoryScores } from '../../schemas/turn-pool.js';
import { SuffixProducts } from '../../schemas/turn-state.js';
import { keptFromLast } from '../artifacts/last-read.js';
import type { ArtifactStore } from '../artifacts/store.js';
import { groupRelativeAdvantages, shapedReward } from '../algorithms/advantages.js';
import { readGroups, trainedOn, type SeatedTrajectory } from '../grouping/read-groups.js';
import { mean } from '../numerics/statistics.js';
import type { OpenedRun } from '../run/run-context.js';
import { learningRateAt } from './learning-rate.js';
import { tokenAdvantagesOf } from '../algorithms/generalized-advantages.js';
import type { PoolSample } from './pool-sample.js';
import { initialSuffixProducts } from '../algorithms/suffix-ratios.js';
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
  /** A trajectory's tokens and scores at a turn, as a list of one; empty if it ended earlier: inactive, its ratio stays 1. */
  seatAt(seat: SeatedTrajectory, turn: number): Omit<PoolSample, 'advantage' | 'suffixProduct' | 'critic'>[];
  /** D_t, weighted by M_{t+1} = product x A; one pool with all turns for SeeUPO's rivals. */
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
  const advantages =
    algorithm.name === 'seeupo' && algorithm.advantageStatistics === 'turn-pool'
      ? groupRelativeAdvantages(
          seated,
          algorithm,
          new Set(seated.filter(({ turns }) => turns >= turn).map(({ id }) => id)),
        )
      : new Map(seated.map(({ id, advantage }) => [id, advantage]));

  const seatAt: Turn['seatAt'] = ({ id, taskId, trajectory }, t) => {
    const played = trajectory.turns[t - 1];
    if (!played) return [];
    const { old, reference } = scoresById.get(id)![t - 1]!;
    return [{ id, taskId, promptIds: played.promptIds, responseIds: played.responseIds, old, reference }];
  };
  const turnsOf = ({ trajectory }: SeatedTrajectory): number[] =>
    algorithm.name === 'seeupo' ? [turn] : trajectory.turns.map((_, t) => t + 1);
  const poolOf: Turn['poolOf'] = (weights) => {
    const valued = (seat: SeatedTrajectory) => ({
      reward: shapedReward(seat.reward, algorithm.rewardShaping),
      values: scoresById.get(seat.id)!.map(({ values }) => values!),
    });
    const critics = algorithm.name === 'ppo' ? tokenAdvantagesOf(trained.map(valued), algorithm) : null;
    return trained.flatMap((seat, i) =>
      turnsOf(seat).flatMap((t) =>
        seatAt(seat, t).map((sample): PoolSample => {
          const critic = critics?.[i]![t - 1];
          const advantage = critic ? mean(critic.advantages) : advantages.get(seat.id)!;
          return { ...sample, advantage, suffixProduct: weights[seat.id]!, ...(critic && { critic }) };
        }),
      ),
    );
  };
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
      unmoved: algorithm.name !== 'seeupo' || suffixProducts === null,
    },
    seatAt,
    poolOf,
  };
}
