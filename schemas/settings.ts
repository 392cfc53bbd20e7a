import { z } from 'zod';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { TrainConfig } from './train-config.js';

/** The point of a run from which settings are in force. */
export const SettingsStart = z.strictObject({
  /** k: from this iteration on. */
  iteration: z.int().nonnegative(),
  /** Null: from its rollout on. A list: in iteration k they are in force only for updates of turns that are not listed. */
  keptTurns: z.array(z.int().positive()).nullable(),
});
export type SettingsStart = z.infer<typeof SettingsStart>;

/** A blob: the settings from a point of a run on, and a reference to those before it. A run has a chain of these. */
export const Settings = z.strictObject({
  kind: z.literal('settings'),
  from: SettingsStart,
  /** Resolved: with all defaults filled in. */
  config: TrainConfig,
  /** The settings in force before `from`; null for the first ones. */
  before: ArtifactRef.nullable(),
});
export type Settings = z.infer<typeof Settings>;

/** Commit of a change that an operator made during a run. */
export const SettingsRevision = z.strictObject({
  kind: z.literal('settings-revision'),
  inputHash: Sha256,
  /** Counted from 1. */
  revision: z.int().positive(),
  /** As it was asked for: a part of TrainConfig. */
  change: z.record(z.string(), z.unknown()),
  /** JSON of Settings. */
  settings: ArtifactRef,
});
export type SettingsRevision = z.infer<typeof SettingsRevision>;
