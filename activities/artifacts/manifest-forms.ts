import type { z } from 'zod';
import { ArithmeticManifest } from '../../schemas/arithmetic.js';
import { CheckpointManifest, WarmStartManifest } from '../../schemas/checkpoint.js';
import { EvaluationManifest } from '../../schemas/evaluation.js';
import { IterationTiming, Timing } from '../../schemas/metrics.js';
import { Ownership } from '../../schemas/ownership.js';
import { ReportManifest } from '../../schemas/report.js';
import { DroppedIteration, Tag } from '../../schemas/retention.js';
import { RolloutShardManifest } from '../../schemas/rollout.js';
import { RunManifest } from '../../schemas/run.js';
import { SettingsRevision } from '../../schemas/settings.js';
import { GroupsManifest, ScoresManifest } from '../../schemas/turn-pool.js';
import { GradientManifest, OptimizerStepManifest, RatiosManifest } from '../../schemas/turn-parts.js';
import { TurnStateManifest } from '../../schemas/turn-state.js';

/** What lies at a key below a run's prefix, first match. */
const FORMS: readonly (readonly [RegExp, z.ZodType])[] = [
  [/^timings\/iterations\/\d+\/all\.json$/, IterationTiming],
  [/^timings\/.+\.json$/, Timing],
  [/^run\.json$/, RunManifest],
  [/^owner\.json$/, Ownership],
  [/^arithmetic\.json$/, ArithmeticManifest],
  [/^settings\/\d+\.json$/, SettingsRevision],
  [/^tags\/[^/]+\.json$/, Tag],
  [/^dropped\/\d+\.json$/, DroppedIteration],
  [/^warm-start\.json$/, WarmStartManifest],
  [/^evaluations\/.+\.json$/, EvaluationManifest],
  [/^iterations\/\d+\/rollout-\d+\.json$/, RolloutShardManifest],
  [/^iterations\/\d+\/groups\.json$/, GroupsManifest],
  [/^iterations\/\d+\/scores\.json$/, ScoresManifest],
  [/^iterations\/\d+\/turn-\d+\.json$/, TurnStateManifest],
  [/^iterations\/\d+\/turn-\d+\/step-\d+\/gradient-\d+\.json$/, GradientManifest],
  [/^iterations\/\d+\/turn-\d+\/step-\d+\/policy\.json$/, OptimizerStepManifest],
  [/^iterations\/\d+\/turn-\d+\/ratios-\d+\.json$/, RatiosManifest],
  [/^iterations\/\d+\/checkpoint\.json$/, CheckpointManifest],
  [/^report-\d+\.json$/, ReportManifest],
];

/** The form that an object of a run must have, by its key below the run's prefix; null if nothing belongs there. */
export const formOf = (key: string): z.ZodType | null => FORMS.find(([pattern]) => pattern.test(key))?.[1] ?? null;
