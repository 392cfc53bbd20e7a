import pLimit from 'p-limit';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { CheckpointManifest } from '../../schemas/checkpoint.js';
import { EvaluationManifest } from '../../schemas/evaluation.js';
import { RunManifest, type ForkPoint } from '../../schemas/run.js';
import type { ForkRequest } from '../../schemas/run-request.js';
import type { Settings } from '../../schemas/settings.js';
import { GroupsManifest } from '../../schemas/turn-pool.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import { withChange } from './change-config.js';
import { BadConfig, differences } from './resolve-config.js';
import { configAt, latestSettings } from './run-context.js';

/** What stays as it was in the run that is forked: shared steps were made with it. */
const FIXED = ['model', 'environment', 'lora', 'warmStart'] as const;
const COPIES_AT_ONCE = 16;

export interface Fork {
  /** The run that is forked. */
  readonly source: RunManifest;
  /** What is other from the fork on. */
  readonly config: TrainConfig;
  readonly settings: ArtifactRef;
  readonly forkedFrom: ForkPoint;
}

/**
 * Copies the manifests of everything before a point of a run to another run's prefix. What they name
 * (weights, trajectories) is shared by hash and not copied.
 *
 * @throws {BadConfig} if there is no such run or point, or a setting is to change that shared steps were made with
 */
export async function forkRun(artifacts: ArtifactStore, runId: string, { forkFrom, change }: ForkRequest): Promise<Fork> {
  const { run: sourceId, iteration, turn } = forkFrom;
  const refuse = (problem: string) => new BadConfig([`forkFrom: ${problem}`]);
  if (sourceId === runId) throw refuse(`run "${runId}" cannot be forked into itself: choose another workflow id`);
  const found = await artifacts.findManifest(keys.runManifest(sourceId), RunManifest);
  if (!found) throw refuse(`there is no run "${sourceId}" in this store`);
  const source = found.manifest;
  if (iteration > 0 && !(await artifacts.findManifest(keys.checkpoint(sourceId, iteration - 1), CheckpointManifest))) {
    throw refuse(`run "${sourceId}" has no checkpoint of iteration ${iteration - 1}, which a fork at iteration ${iteration} begins with`);
  }
  const chain = (await latestSettings(artifacts, source)).settings;
  const before = await configAt(artifacts, chain, turn === null ? { iteration } : { iteration, turn });
  const config = withChange(before, change);
  const moved = FIXED.flatMap((block) => differences(before[block], config[block], block));
  if (moved.length > 0) throw refuse(`what is shared was made with other settings, so these cannot change: ${moved.join('; ')}`);

  const keptTurns = turn === null ? null : await turnsKept(artifacts, forkFrom, before, refuse);
  const steps = await keysBefore(artifacts, sourceId, iteration, keptTurns);
  const limit = pLimit(COPIES_AT_ONCE);
  const renamed = (key: string) => keys.run(runId) + key.slice(keys.run(sourceId).length);
  // Timings come along: they tell what it took to get here.
  await Promise.all(steps.flatMap((key) => [keys.timing(key), key]).map((key) => limit(() => artifacts.copyManifest(key, renamed(key)))));
  for (let k = 0; k < iteration; k++) await artifacts.copyManifest(keys.iterationTiming(sourceId, k), keys.iterationTiming(runId, k));

  const settings: Settings = { kind: 'settings', from: { iteration, keptTurns }, config, before: chain };
  return { source, config, settings: await artifacts.putJson(settings), forkedFrom: forkFrom };
}

/** The turns of iteration k that were updated before a turn, all of which must be there. */
async function turnsKept(
  artifacts: ArtifactStore,
  { run, iteration, turn }: ForkPoint,
  { algorithm }: TrainConfig,
  refuse: (problem: string) => Error,
): Promise<number[]> {
  const groups = await artifacts.findManifest(keys.groups(run, iteration), GroupsManifest);
  if (!groups) throw refuse(`run "${run}" has not got to the turns of iteration ${iteration}: leave turn out, or choose an earlier iteration`);
  const { turns } = groups.manifest;
  if (turn! > turns) throw refuse(`iteration ${iteration} of run "${run}" has turns 1 to ${turns}, not ${turn}`);
  const order = algorithm.name === 'seeupo' ? algorithm.updateOrder : 'forward';
  if (order === 'random') throw refuse('a random order of turns cannot be forked between two of them: leave turn out');
  const forward = Array.from({ length: turns }, (_, index) => index + 1);
  const listed = order === 'forward' ? forward : order === 'reverse' ? forward.reverse() : order.filter((listedTurn) => listedTurn <= turns);
  const kept = listed.slice(0, listed.indexOf(turn!));
  const committed = new Set<string>();
  for await (const key of artifacts.list(keys.iteration(run, iteration))) committed.add(key);
  const missing = kept.filter((earlier) => !committed.has(keys.turnState(run, iteration, earlier)));
  if (missing.length > 0) throw refuse(`run "${run}" has not updated turn ${missing[0]} of iteration ${iteration}, which comes before turn ${turn}`);
  return kept;
}

/** Keys of the steps before the point. Evaluations of the policies up to it come along, an end does not. */
async function keysBefore(artifacts: ArtifactStore, run: string, iteration: number, keptTurns: readonly number[] | null): Promise<string[]> {
  const found: string[] = [];
  for await (const key of artifacts.list(keys.run(run))) {
    const [, k, step] = /\/iterations\/(\d+)\/(.+)\.json$/.exec(key) ?? [];
    if (key === keys.warmStart(run)) found.push(key);
    if (k === undefined || key.includes('/timings/')) continue;
    const turn = /^turn-(\d+)/.exec(step!)?.[1];
    const kept = Number(k) === iteration && keptTurns !== null && (turn === undefined ? step !== 'checkpoint' : keptTurns.includes(Number(turn)));
    if (Number(k) < iteration || kept) found.push(key);
  }
  for await (const key of artifacts.list(`${keys.run(run)}evaluations/`)) {
    const evaluation = await artifacts.findManifest(key, EvaluationManifest);
    if (evaluation && evaluation.manifest.name !== 'end' && evaluation.manifest.iterationsDone <= iteration) found.push(key);
  }
  return found;
}
