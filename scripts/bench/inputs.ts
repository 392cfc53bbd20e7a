import { existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { keys } from '../../activities/artifacts/store.js';
import { trainedOn } from '../../activities/grouping/read-groups.js';
import { uniforms } from '../../activities/numerics/random.js';
import { packTrie, prefixGroupsOf } from '../../activities/policy/trie.js';
import { writeMergedModel } from '../../activities/policy/weights/merged-model.js';
import { dealMinibatches } from '../../activities/turn-update/minibatches.js';
import type { PoolSample } from '../../activities/turn-update/pool-sample.js';
import type { UpdatePoolOptions } from '../../activities/turn-update/update-pool.js';
import { RolloutShardManifest } from '../../schemas/rollout.js';
import { RunManifest } from '../../schemas/run.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { Trajectory } from '../../schemas/trajectory.js';
import { UsageError } from '../cli.js';
import { policyAt, runsOf, thetaOf } from '../models/runs.js';
import { withStore } from '../models/with-store.js';
import { emptyTemporary } from '../setup/pip.js';
import { inRuntime } from '../setup/paths.js';

/** Rows of ids drawn from the vocabulary, no two alike: no prefix is shared. */
export const randomRows = (rows: number, tokens: number, vocabulary: number): number[][] =>
  Array.from({ length: rows }, (_, row) =>
    [...uniforms(`bench/row/${row}`, tokens)].map((u) => Math.floor(u * vocabulary)),
  );

/** A model as a Hugging Face directory, which both sides load; made once. */
async function directoryOf(name: string, write: (folder: string) => Promise<unknown>): Promise<string> {
  const folder = inRuntime('bench', 'models', name);
  if (existsSync(folder)) return folder;
  const temporary = await emptyTemporary('bench-model');
  await write(temporary);
  await mkdir(path.dirname(folder), { recursive: true });
  await rename(temporary, folder);
  return folder;
}

export const plainModel = (file: string): Promise<string> =>
  directoryOf(path.basename(file, '.gguf'), (folder) =>
    writeMergedModel(file, { lora: { rank: 1, alpha: 1 }, tensors: [] }, folder),
  );

export interface PlayedRun {
  readonly config: TrainConfig;
  /** theta_k, whole, as a directory. */
  readonly model: string;
  /** Of the iteration, under theta_k. */
  readonly trajectories: readonly Trajectory[];
}

/** A committed iteration of a run: theta_k and what it played. */
export function committedPlay(runId: string, iteration: number): Promise<PlayedRun> {
  return withStore(async (store, modelsDir) => {
    const run = await store.findManifest(keys.runManifest(runId), RunManifest);
    if (!run)
      throw new UsageError(
        `--run: there is no run "${runId}" in the store; known are ${(await runsOf(store)).join(', ') || 'none'}`,
      );
    const { config, model } = run.manifest;
    const trajectories: Trajectory[] = [];
    for await (const key of store.list(keys.iteration(runId, iteration))) {
      if (!/rollout-\d+\.json$/.test(key)) continue;
      const shard = await store.findManifest(key, RolloutShardManifest);
      trajectories.push(...(await store.getJson(shard!.manifest.trajectories, z.array(Trajectory))));
    }
    if (trajectories.length === 0)
      throw new UsageError(`--iteration: run "${runId}" has played nothing in iteration ${iteration}`);
    const file = path.join(modelsDir, model.path);
    const folder = await directoryOf(`${runId}-${iteration}`, async (temporary) => {
      const { whole } = await thetaOf(store, run.manifest, await policyAt(store, run.manifest, iteration - 1), file);
      return writeMergedModel(file, whole, temporary);
    });
    return { config, model: folder, trajectories };
  });
}

export interface Pool {
  readonly samples: readonly Omit<PoolSample, 'old' | 'reference'>[];
  readonly options: UpdatePoolOptions;
  /** Tasks of each optimiser step, as `options.randomKey` deals them. */
  readonly minibatches: readonly (readonly string[])[];
  readonly detail: string;
}

/**
 * The turn pool with the most tokens of those that were played. Weights are 1 and -1 by turns: what
 * they are changes no amount of work.
 *
 * @param committed  only the groups that the run's own update looked at
 */
export function poolOf(config: TrainConfig, trajectories: readonly Trajectory[], committed: boolean): Pool {
  const seated = committed ? trainedOn(trajectories, config.algorithm) : trajectories;
  const pools = Array.from({ length: config.rollout.maxTurns }, (_, t) =>
    seated.flatMap(({ id, taskId, turns }) => {
      const turn = turns[t];
      return turn ? [{ id, taskId, promptIds: turn.promptIds, responseIds: turn.responseIds }] : [];
    }),
  );
  const tokensOf = (pool: (typeof pools)[number]): number =>
    pool.reduce((sum, { promptIds, responseIds }) => sum + promptIds.length + responseIds.length, 0);
  const turn = 1 + pools.reduce((best, pool, t) => (tokensOf(pool) > tokensOf(pools[best]!) ? t : best), 0);
  const pool = pools[turn - 1]!;
  if (pool.length === 0)
    throw new UsageError(
      'there is no turn with a sequence to train on in what was played: choose another --run or --iteration',
    );
  const { algorithm, optimizer, guard, rollout, microBatchTokens, seed } = config;
  const randomKey = `${seed}/0/${turn}`;
  const { temperature, maxResponseTokens } = rollout;
  const sequences = pool.map(({ taskId, ...sequence }) => ({ ...sequence, prefixGroup: taskId }));
  const nodes = prefixGroupsOf(sequences).reduce(
    (sum, row) => sum + packTrie(row.map((i) => sequences[i]!)).tokens.length,
    0,
  );
  return {
    samples: pool.map((sample, i) => ({ ...sample, advantage: i % 2 === 0 ? 1 : -1, suffixProduct: 1 })),
    options: {
      turn,
      algorithm,
      optimizer,
      guard,
      temperature,
      maxResponseTokens,
      microBatchTokens,
      randomKey,
      unmoved: true,
    },
    minibatches: dealMinibatches(
      pool.map(({ taskId }) => taskId),
      algorithm.minibatches,
      `${randomKey}/0`,
    ),
    detail: `turn ${turn} of ${pools.length}, ${pool.length} sequences, ${tokensOf(pool)} tokens (${nodes} where a prefix that is shared counts once); ${algorithm.minibatches} AdamW steps`,
  };
}
