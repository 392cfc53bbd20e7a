import type { Settings } from '../../schemas/settings.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import type { RunManifest } from '../../schemas/run.js';

/**
 * A step of a run: of iteration k, the update of a turn or something before the updates. Of iteration -1: what comes
 * before the first.
 */
export interface RunPosition {
  readonly iteration: number;
  readonly turn?: number;
}

/** Whether settings are in force at a step; if not, the settings before them are. */
export function actsOn({ iteration, keptTurns }: Settings['from'], step: RunPosition): boolean {
  if (step.iteration !== iteration) return step.iteration > iteration;
  if (keptTurns === null) return true;
  return step.turn !== undefined && !keptTurns.includes(step.turn);
}

/**
 * Hash of all parts of a run on which the result of a step may depend. Its id, title, length and the use of results are
 * not among them. Runs with equal fingerprints have equal steps, byte for byte.
 */
export function stepFingerprint(
  { model, trainTasks, heldoutTasks }: Pick<RunManifest, 'model' | 'trainTasks' | 'heldoutTasks'>,
  config: TrainConfig,
): string {
  const { title: _, iterations, evaluation: __, model: ___, retention: ____, arithmetic: _____, ...rest } = config;
  // A learning rate that decays over the run depends on the number of iterations.
  const length = config.optimizer.schedule.shape === 'constant' ? null : iterations;
  return inputHashOf({ model: model.sha256, trainTasks, heldoutTasks, length, ...rest });
}

/** The same for an evaluation, whose result does not depend on the training settings. */
export function evaluationFingerprint(
  { model, trainTasks, heldoutTasks }: Pick<RunManifest, 'model' | 'trainTasks' | 'heldoutTasks'>,
  { seed, lora, environment, rollout }: TrainConfig,
): string {
  const { groupSize: _, tasksPerIteration: __, tasksPerShard: ___, temperature: ____, ...playing } = rollout;
  return inputHashOf({ model: model.sha256, trainTasks, heldoutTasks, seed, lora, environment, playing });
}

/** A step's input as it is hashed: an artifact counts by its content hash, not by its key. */
export function contentOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(contentOf);
  if (typeof value !== 'object' || value === null) return value;
  if ('sha256' in value && 'key' in value) return value.sha256;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, contentOf(inner)]));
}
