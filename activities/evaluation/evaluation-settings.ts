import type { EvaluateConfig, ResolvedEvaluation } from '../../schemas/evaluate-config.js';
import { PlayConfig } from '../../schemas/play-config.js';
import type { TrainConfig } from '../../schemas/train-config.js';

/**
 * An evaluation's complete settings: a missing one is taken from the run, as the run's own evaluations use it.
 *
 * @param run  configuration of the run that is evaluated; null for a model that no run trained
 * @returns    the settings, or one sentence for each that is missing
 */
export function resolveEvaluation(given: EvaluateConfig, run: TrainConfig | null): ResolvedEvaluation | string[] {
  const environment = given.environment ?? run?.environment;
  const temperature = given.temperature ?? run?.evaluation.temperature ?? run?.rollout.temperature;
  const maxResponseTokens = given.maxResponseTokens ?? run?.rollout.maxResponseTokens;
  const maxTurns = given.maxTurns ?? run?.rollout.maxTurns;
  if (environment && temperature && maxResponseTokens && maxTurns) {
    const played = { ...run?.rollout, ...definedFields(given), maxResponseTokens, maxTurns };
    return {
      ...given,
      environment,
      temperature,
      ...PlayConfig.parse(Object.fromEntries(Object.entries(played).filter(([name]) => name in PlayConfig.shape))),
    };
  }
  return Object.entries({ environment, temperature, maxResponseTokens, maxTurns })
    .filter(([, value]) => value === undefined)
    .map(([name]) => `${name} is missing: a model that no run trained has no settings of its own, so it must be given`);
}

/** The fields that have a value. */
export const definedFields = (given: EvaluateConfig): Partial<EvaluateConfig> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
