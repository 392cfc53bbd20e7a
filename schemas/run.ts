import { z } from 'zod';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { AcceptSettings, RunId, TrainConfig } from './train-config.js';
import { Task } from './task.js';

/** A point of a run: just before the rollouts of an iteration, or before the update of one of its turns. */
export const ForkPoint = z.strictObject({
  run: RunId,
  /** k, counted from 0 as in the keys. */
  iteration: z.int().nonnegative(),
  turn: z.int().positive().nullable(),
});
export type ForkPoint = z.infer<typeof ForkPoint>;

/** A model as it was found: where below the models directory, and what it is. */
export const IdentifiedModel = z.strictObject({
  path: z.string(),
  sha256: Sha256,
  bytes: z.int(),
  /** Only if some were: unknown settings of its config.json that whoever started this answers for. */
  acceptSettings: AcceptSettings.optional(),
});
export type IdentifiedModel = z.infer<typeof IdentifiedModel>;

/** Committed by openRun before anything else: a run is what this says, whatever defaults later become. */
export const RunManifest = z.strictObject({
  kind: z.literal('run'),
  runId: RunId,
  /** As the run was started. Resolved: every default is spelled out. */
  config: TrainConfig,
  /** JSON of Settings: `config`, and for a fork what acts before it. */
  settings: ArtifactRef,
  /** The run whose beginning this one shares; null if it has its own. */
  forkedFrom: ForkPoint.nullable(),
  model: IdentifiedModel,
  /** Settings that cannot act in this combination, each as a sentence that says why. */
  inertSettings: z.array(z.string()).default([]),
  trainTasks: z.array(Task).min(1),
  heldoutTasks: z.array(Task),
  code: z.strictObject({
    /** package.json version and, in a checkout, the commit. */
    version: z.string(),
  }),
});
export type RunManifest = z.infer<typeof RunManifest>;

/** What a workflow carries of a run: enough to decide what happens next, nothing that grows. */
export const RunRef = z.strictObject({
  runId: RunId,
  manifest: ArtifactRef,
  /** Of the ownership under which the run is written. */
  generation: z.int().positive(),
  /** JSON of Settings: the latest of the run's chain. */
  settings: ArtifactRef,
  title: z.string(),
  iterations: z.int(),
  tasks: z.int(),
  groupSize: z.int(),
  /** Rollout shards per iteration. */
  shards: z.int(),
  /** `random`: by this seed, anew in every iteration. */
  updateOrder: z.union([
    z.enum(['reverse', 'forward']),
    z.strictObject({ random: z.int() }),
    z.array(z.int().positive()),
  ]),
  /** Only for sharded updates: the number of gradient shards, and of optimizer steps per turn. */
  spread: z.strictObject({ shards: z.int().min(2), steps: z.int().positive() }).optional(),
  /** Whether iterations are dropped on the way. */
  retention: z.boolean().optional(),
  warmStart: z.boolean(),
  evaluateEvery: z.int().nullable(),
  algorithm: z.string(),
  environment: z.string(),
  model: z.string(),
});
export type RunRef = z.infer<typeof RunRef>;
