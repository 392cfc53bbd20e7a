import type { Settings } from '../../schemas/settings.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import { inputHashOf } from '../artifacts/canonical-json.js';
import type { RunManifest } from '../../schemas/run.js';

/** A step of a run: of iteration k, the update of a turn or something before the updates. Of iteration -1: what comes before the first. */
export interface StepPosition {
  readonly iteration: number;
  readonly turn?: number;
}

/** Whether settings act on a step, or those before them do. */
export function actsOn({ iteration, keptTurns }: Settings['from'], step: StepPosition): boolean {
  if (step.iteration !== iteration) return step.iteration > iteration;
  if (keptTurns === null) return true;
  return step.turn !== undefined && !keptTurns.includes(step.turn);
}

/**
 * Hash of everything of a run that the result of a step may depend on: not its id, its title or how
 * long it goes on, nor what is done with results. Runs that agree in it share steps byte for byte.
 */
export function basisOf(
  { model, trainTasks, heldoutTasks }: Pick<RunManifest, 'model' | 'trainTasks' | 'heldoutTasks'>,
  config: TrainConfig,
): string {
  const { title: _, iterations, evaluation: __, model: ___, retention: ____, arithmetic: _____, ...rest } = config;
  // A rate that falls over the run knows how long the run is.
  const length = config.optimizer.schedule.shape === 'constant' ? null : iterations;
  return inputHashOf({ model: model.sha256, trainTasks, heldoutTasks, length, ...rest });
}

/** The same for an evaluation, which how theta is trained does not touch. */
export function evaluationBasisOf(
  { model, trainTasks, heldoutTasks }: Pick<RunManifest, 'model' | 'trainTasks' | 'heldoutTasks'>,
  { seed, lora, environment, rollout }: TrainConfig,
): string {
  const { groupSize: _, tasksPerIteration: __, tasksPerShard: ___, temperature: ____, ...playing } = rollout;
  return inputHashOf({ model: model.sha256, trainTasks, heldoutTasks, seed, lora, environment, playing });
}

/** A step's input as its hash sees it: of an artifact, what it holds and not where it lies. */
export function contentOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(contentOf);
  if (typeof value !== 'object' || value === null) return value;
  if ('sha256' in value && 'key' in value) return value.sha256;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, contentOf(inner)]));
}
