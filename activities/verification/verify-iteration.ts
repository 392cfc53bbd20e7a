import { z } from 'zod';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { CheckpointManifest, WarmStartManifest } from '../../schemas/checkpoint.js';
import { DroppedIteration } from '../../schemas/retention.js';
import { RolloutShardManifest } from '../../schemas/rollout.js';
import type { RunManifest } from '../../schemas/run.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { Trajectory } from '../../schemas/trajectory.js';
import { GroupedTrajectory, GroupsManifest, ScoresManifest } from '../../schemas/turn-pool.js';
import { OptimizerStepManifest, RatiosManifest } from '../../schemas/turn-parts.js';
import { TurnStateManifest, type PolicyState } from '../../schemas/turn-state.js';
import { keys, type ArtifactStore, type Committed } from '../artifacts/store.js';
import { checkpointManifest } from '../checkpoint/checkpoint-manifest.js';
import type { Precision } from '../policy/policy.js';
import { groupTrajectories } from '../grouping/group-trajectories.js';
import { rolloutMetrics } from '../rollout/rollout-metrics.js';
import { selectTasks } from '../rollout/select-tasks.js';
import { configAt, inputHashOfStep, basePolicy } from '../run/run-context.js';
import { stepFingerprint, contentOf } from '../run/settings-in-force.js';
import { require, Unverified } from './unverified.js';

export interface VerifiedIteration {
  readonly iteration: number;
  readonly config: TrainConfig;
  /**
   * theta_k, which played the trajectories, each in the precision that is recorded, if one is; null if retention has
   * dropped it.
   */
  readonly policy: PolicyState | null;
  readonly trajectories: readonly {
    readonly shard: string;
    readonly trajectory: Trajectory;
    readonly precision: Precision | null;
  }[];
  readonly turns: number;
}

/** Computes each step of an iteration again from its inputs and compares. @throws {Unverified} */
export async function verifyIteration(
  artifacts: ArtifactStore,
  run: RunManifest,
  settings: ArtifactRef,
  iteration: number,
): Promise<VerifiedIteration> {
  const { runId } = run;
  const found = async <T>(key: string, schema: z.ZodType<T>): Promise<Committed<T>> => {
    const committed = await artifacts.findManifest(key, schema);
    if (!committed) throw new Unverified(key, `is missing, though iteration ${iteration} has a checkpoint`);
    return committed;
  };
  const requireMadeOf = async (key: string, { inputHash }: { inputHash: string }, input: { turn?: number }) => {
    const config = await configAt(artifacts, settings, {
      iteration,
      ...(input.turn !== undefined && { turn: input.turn }),
    });
    require(key, 'the hash of its inputs', inputHash, inputHashOfStep(stepFingerprint(run, config), {
      iteration,
      ...input,
    }));
  };
  const config = await configAt(artifacts, settings, { iteration });
  const { policy, content } = await policyBefore(artifacts, runId, iteration);

  const shards: Committed<RolloutShardManifest>[] = [];
  const played: Trajectory[][] = [];
  for await (const key of artifacts.list(keys.iteration(runId, iteration))) {
    if (!/rollout-\d+\.json$/.test(key)) continue;
    const shard = await found(key, RolloutShardManifest);
    await requireMadeOf(key, shard.manifest, { shard: shard.manifest.shard, policy: content } as object);
    const trajectories = await artifacts.getJson(shard.manifest.trajectories, z.array(Trajectory));
    for (const trajectory of trajectories) requireEnded(key, trajectory);
    require(key, 'the sum of its trajectories', shard.manifest.metrics, rolloutMetrics(trajectories));
    shards.push(shard);
    played.push(trajectories);
  }
  const all = played.flat();
  const tasks = selectTasks(config, run.trainTasks, iteration);
  const expected = tasks
    .flatMap(({ id }) => Array.from({ length: config.rollout.groupSize }, (_, sample) => `${id}#${sample}`))
    .sort();
  require(keys.iteration(runId, iteration), 'the set of its trajectories', all.map(({ id }) => id).sort(), expected);

  const groups = await found(keys.groups(runId, iteration), GroupsManifest);
  await requireMadeOf(groups.ref.key, groups.manifest, { shards: shards.map(({ ref }) => ref) } as object);
  const { grouped, ...summary } = groupTrajectories(played, config.algorithm);
  const { turns, active, groupsWithoutVariance, groups: count, metrics } = groups.manifest;
  require(groups.ref.key, 'its summary', { turns, active, groupsWithoutVariance, groups: count, metrics }, summary);
  require(groups.ref.key, 'the table of advantages', await artifacts.getJson(
    groups.manifest.trajectories,
    z.array(GroupedTrajectory),
  ), grouped);

  const scores = await found(keys.scores(runId, iteration), ScoresManifest);
  await requireMadeOf(scores.ref.key, scores.manifest, { groups: groups.ref, policy: content } as object);

  const checkpoint = await found(keys.checkpoint(runId, iteration), CheckpointManifest);
  const states: Committed<TurnStateManifest>[] = [];
  let theta: { policy: unknown; suffixProducts: ArtifactRef | null } = { policy: content, suffixProducts: null };
  const order = checkpoint.manifest.turns.map(({ turn }) => turn);
  for (const [index, turn] of order.entries()) {
    const state = await found(keys.turnState(runId, iteration, turn), TurnStateManifest);
    const spread =
      config.update.shards > 1 ? await partsOf(artifacts, runId, iteration, turn, state.manifest.policy) : {};
    await requireMadeOf(state.ref.key, state.manifest, {
      turn,
      updatedBefore: order.slice(0, index),
      groups: groups.ref,
      scores: scores.ref,
      ...theta,
      ...spread,
    } as object);
    theta = { policy: state.manifest.policy, suffixProducts: state.manifest.suffixProducts };
    states.push(state);
  }
  const manifests = {
    iteration,
    groups: groups.manifest,
    scores: scores.manifest,
    turnStates: states.map(({ manifest }) => manifest),
  };
  const { inputHash, ...recorded } = checkpoint.manifest;
  require(checkpoint.ref.key, 'the checkpoint', recorded, checkpointManifest(manifests));
  const parts = {
    rollouts: shards.map(({ ref }) => ref),
    groups: groups.ref,
    scores: scores.ref,
    turnStates: states.map(({ ref }) => ref),
  };
  await requireMadeOf(checkpoint.ref.key, { inputHash }, parts as object);
  return {
    iteration,
    config,
    policy,
    turns,
    trajectories: played.flatMap((ofShard, s) =>
      ofShard.map((trajectory) => ({
        shard: shards[s]!.ref.key,
        trajectory,
        precision: shards[s]!.manifest.arithmetic?.precision ?? null,
      })),
    ),
  };
}

/** What a turn that was spread over workers was put together from. */
async function partsOf(artifacts: ArtifactStore, runId: string, iteration: number, turn: number, stepped: PolicyState) {
  const refs = async <T>(part: RegExp, schema: z.ZodType<T>): Promise<ArtifactRef[]> => {
    const found: { number: number; ref: ArtifactRef }[] = [];
    for await (const key of artifacts.list(keys.turnPart(runId, iteration, turn, '').replace(/\.json$/, ''))) {
      const number = part.exec(key)?.[1];
      if (number !== undefined)
        found.push({ number: Number(number), ref: (await artifacts.findManifest(key, schema))!.ref });
    }
    return found.sort((a, b) => a.number - b.number).map(({ ref }) => ref);
  };
  return {
    stepped,
    steps: await refs(/step-(\d+)\/policy\.json$/, OptimizerStepManifest),
    ratios: await refs(/ratios-(\d+)\.json$/, RatiosManifest),
  };
}

/** theta_k: the last checkpoint, or where training began; and what step hashes see of it. */
async function policyBefore(
  artifacts: ArtifactStore,
  runId: string,
  iteration: number,
): Promise<{ policy: PolicyState | null; content: unknown }> {
  if (iteration > 0) {
    const key = keys.checkpoint(runId, iteration - 1);
    const before = await artifacts.findManifest(key, CheckpointManifest);
    const dropped = before
      ? null
      : await artifacts.findManifest(keys.droppedIteration(runId, iteration - 1), DroppedIteration);
    if (dropped) return { policy: null, content: dropped.manifest.policyContent };
    if (!before) throw new Unverified(key, `is missing, though iteration ${iteration} was made from it`);
    return { policy: before.manifest.policy, content: contentOf(before.manifest.policy) };
  }
  const warm = await artifacts.findManifest(keys.warmStart(runId), WarmStartManifest);
  const policy = { ...basePolicy, folded: warm ? [warm.manifest.adapter] : [] };
  return { policy, content: contentOf(policy) };
}

/**
 * An episode ended in one of three ways, and its verdict agrees with it. Failures of the infrastructure are tried
 * again, and recorded nowhere.
 */
function requireEnded(key: string, { id, turns, turnsPassed, end, success, taskTurns }: Trajectory): void {
  const fail = (problem: string): never => {
    throw new Unverified(key, `episode ${id} ended as "${end}", but ${problem}`);
  };
  if (success && end !== 'completed') fail('counts as a success');
  if (end === 'failed-turn' && turnsPassed.at(-1) !== false)
    fail(`no turn failed last: ${JSON.stringify(turnsPassed)}`);
  if (end === 'completed' && turnsPassed.at(-1) === false) fail('its last checked turn failed');
  for (const [t, turn] of turns.entries()) {
    if (turn.turn !== t + 1) fail(`its turn ${t + 1} says that it is turn ${turn.turn}`);
    if (turn.behaviorLogProbs.length !== turn.responseIds.length)
      fail(`turn ${t + 1} has ${turn.responseIds.length} tokens and ${turn.behaviorLogProbs.length} log-probs`);
  }
  if (turnsPassed.length > taskTurns) fail(`${turnsPassed.length} turns were checked of a task of ${taskTurns}`);
}
