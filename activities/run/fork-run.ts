import pLimit from 'p-limit';
import type { ArtifactRef } from '../../schemas/artifact-ref.js';
import { CheckpointManifest } from '../../schemas/checkpoint.js';
import { EvaluationManifest } from '../../schemas/evaluation.js';
import { RunManifest, type ForkPoint } from '../../schemas/run.js';
import type { ForkRequest } from '../../schemas/run-request.js';
import type { Settings } from '../../schemas/settings.js';
import { GroupsManifest } from '../../schemas/turn-pool.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { algorithmOf } from '../algorithms/index.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import { mergedChange, withChange } from './change-config.js';
import { BadConfig } from './resolve-config.js';
import { configAt, latestSettings } from './run-context.js';
import { refusedInFork } from './setting-readers.js';
import { evaluationFingerprint } from './settings-in-force.js';

const COPIES_AT_ONCE = 16;

export interface Fork {
  /** The run that is forked. */
  readonly source: RunManifest;
  /** The configuration from the fork on. */
  readonly config: TrainConfig;
  readonly forkedFrom: ForkPoint;
  /** Settings that cannot change at this point, each with the reason; empty if there are none. */
  readonly refused: readonly string[];
  /** Copies the manifests of all steps before the point, and stores the settings from there on. */
  copy(): Promise<ArtifactRef>;
}

/**
 * Prepares a fork: a new run that begins with the first steps of another run. Their manifests are copied; the artifacts
 * that they refer to (weights, trajectories) are shared by hash and not copied. Nothing is written before `copy`.
 *
 * @throws {BadConfig} if there is no such run or point, or the settings from there on are not a configuration
 */
export async function forkOf(
  artifacts: ArtifactStore,
  runId: string,
  { forkFrom, change }: ForkRequest,
): Promise<Fork> {
  const { run: sourceId, iteration, turn } = forkFrom;
  const refuse = (problem: string) => new BadConfig([`forkFrom: ${problem}`]);
  if (sourceId === runId) throw refuse(`run "${runId}" cannot be forked into itself: choose another workflow id`);
  const found = await artifacts.findManifest(keys.runManifest(sourceId), RunManifest);
  if (!found) throw refuse(`there is no run "${sourceId}" in this store`);
  const source = found.manifest;
  if (iteration > 0 && !(await artifacts.findManifest(keys.checkpoint(sourceId, iteration - 1), CheckpointManifest))) {
    throw refuse(
      `run "${sourceId}" has no checkpoint of iteration ${iteration - 1}, which a fork at iteration ${iteration} begins with`,
    );
  }
  const chain = (await latestSettings(artifacts, source)).settings;
  // The configuration with which the iteration began; in a fork of a fork, its later turns may have another one.
  const begun = await configAt(artifacts, chain, { iteration });
  const before = turn === null ? begun : await configAt(artifacts, chain, { iteration, turn });
  const keptTurns = turn === null ? null : await turnsKept(artifacts, forkFrom, begun, refuse);
  const kept =
    keptTurns &&
    (await Promise.all(keptTurns.map((earlier) => configAt(artifacts, chain, { iteration, turn: earlier }))));
  const refusedFor = (given: TrainConfig): string[] =>
    refusedInFork({ begun, kept }, given).map(
      (reason) =>
        `forkFrom: cannot change ${turn === null ? 'in a fork' : `before turn ${turn} of iteration ${iteration}`}: ${reason}`,
    );
  const config = changed();

  return { source, config, forkedFrom: forkFrom, refused: refusedFor(config), copy };

  /** The settings from the point on. If they are invalid, the error also names those that cannot change there. */
  function changed(): TrainConfig {
    try {
      return withChange(before, change);
    } catch (error) {
      const merged = mergedChange(before, change);
      if (!(error instanceof BadConfig) || !merged.algorithm) throw error;
      throw new BadConfig([...error.problems, ...refusedFor(merged)]);
    }
  }

  async function copy(): Promise<ArtifactRef> {
    const evaluatedAlike =
      JSON.stringify(evaluationSettingsOf(source, before)) === JSON.stringify(evaluationSettingsOf(source, config));
    const steps = await keysBefore(artifacts, sourceId, { iteration, keptTurns, evaluatedAlike });
    const limit = pLimit(COPIES_AT_ONCE);
    const renamed = (key: string) => keys.run(runId) + key.slice(keys.run(sourceId).length);
    // Timings are copied too: they show the cost of the steps before the fork.
    await Promise.all(
      steps
        .flatMap((key) => [keys.timing(key), key])
        .map((key) => limit(() => artifacts.copyManifest(key, renamed(key)))),
    );
    for (let k = 0; k < iteration; k++)
      await artifacts.copyManifest(keys.iterationTiming(sourceId, k), keys.iterationTiming(runId, k));
    const settings: Settings = { kind: 'settings', from: { iteration, keptTurns }, config, before: chain };
    return artifacts.putJson(settings);
  }
}

/** The settings on which an evaluation's result depends: its fingerprint, and its own samples and temperature. */
const evaluationSettingsOf = (source: RunManifest, config: TrainConfig) => {
  const { everyIterations: _, temperature, ...samples } = config.evaluation;
  return {
    fingerprint: evaluationFingerprint(source, config),
    samples,
    temperature: temperature ?? config.rollout.temperature,
  };
};

/** The turns of iteration k that come before a turn in the order of updates; all of them must be committed. */
async function turnsKept(
  artifacts: ArtifactStore,
  { run, iteration, turn }: ForkPoint,
  { algorithm }: TrainConfig,
  refuse: (problem: string) => Error,
): Promise<number[]> {
  const groups = await artifacts.findManifest(keys.groups(run, iteration), GroupsManifest);
  if (!groups)
    throw refuse(
      `run "${run}" has not got to the turns of iteration ${iteration}: leave turn out, or choose an earlier iteration`,
    );
  const { turns } = groups.manifest;
  if (turn! > turns) throw refuse(`iteration ${iteration} of run "${run}" has turns 1 to ${turns}, not ${turn}`);
  const order = algorithmOf(algorithm).updateOrder;
  if (order === 'random') throw refuse('a random order of turns cannot be forked between two of them: leave turn out');
  const forward = Array.from({ length: turns }, (_, index) => index + 1);
  const listed =
    order === 'forward'
      ? forward
      : order === 'reverse'
        ? forward.reverse()
        : order.filter((listedTurn) => listedTurn <= turns);
  const kept = listed.slice(0, listed.indexOf(turn!));
  const committed = new Set<string>();
  for await (const key of artifacts.list(keys.iteration(run, iteration))) committed.add(key);
  const missing = kept.filter((earlier) => !committed.has(keys.turnState(run, iteration, earlier)));
  if (missing.length > 0)
    throw refuse(
      `run "${run}" has not updated turn ${missing[0]} of iteration ${iteration}, which comes before turn ${turn}`,
    );
  return kept;
}

/**
 * Keys of the steps before the point. Evaluations of the policies up to it are included. The evaluation at the end of
 * the source run is not, nor is that of theta_k if the fork is evaluated with other settings: a run's figures are
 * comparable.
 */
async function keysBefore(
  artifacts: ArtifactStore,
  run: string,
  {
    iteration,
    keptTurns,
    evaluatedAlike,
  }: { readonly iteration: number; readonly keptTurns: readonly number[] | null; readonly evaluatedAlike: boolean },
): Promise<string[]> {
  const found: string[] = [];
  for await (const key of artifacts.list(keys.run(run))) {
    // If the fork is between two turns, the rest of the iteration must have the arithmetic of the shared turns.
    if (key === keys.arithmetic(run) && keptTurns !== null) found.push(key);
    const [, k, step] = /\/iterations\/(\d+)\/(.+)\.json$/.exec(key) ?? [];
    if (key === keys.warmStart(run)) found.push(key);
    if (k === undefined || key.includes('/timings/')) continue;
    const turn = /^turn-(\d+)/.exec(step!)?.[1];
    const kept =
      Number(k) === iteration &&
      keptTurns !== null &&
      (turn === undefined ? step !== 'checkpoint' : keptTurns.includes(Number(turn)));
    if (Number(k) < iteration || kept) found.push(key);
  }
  for await (const key of artifacts.list(`${keys.run(run)}evaluations/`)) {
    const evaluation = await artifacts.findManifest(key, EvaluationManifest);
    const { name, iterationsDone } = evaluation?.manifest ?? { name: 'end', iterationsDone: 0 };
    if (name !== 'end' && (iterationsDone < iteration || (iterationsDone === iteration && evaluatedAlike)))
      found.push(key);
  }
  return found;
}
