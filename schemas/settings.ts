import { z } from 'zod';
import { ArtifactRef, Sha256 } from './artifact-ref.js';
import { TrainConfig } from './train-config.js';

/** Where settings begin to act. */
export const SettingsStart = z.strictObject({
  /** k: from this iteration on. */
  iteration: z.int().nonnegative(),
  /** Null: from its rollout on. A list: in iteration k only on the updates of turns that are not in it. */
  keptTurns: z.array(z.int().positive()).nullable(),
});
export type SettingsStart = z.infer<typeof SettingsStart>;

/** A blob: the settings from some point of a run on, and those before it. A run is a chain of these. */
export const Settings = z.strictObject({
  kind: z.literal('settings'),
  from: SettingsStart,
  /** Resolved: every default is spelled out. */
  config: TrainConfig,
  /** What acts before `from`; null at the beginning of the chain. */
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
