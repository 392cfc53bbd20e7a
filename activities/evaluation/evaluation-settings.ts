import type { EvaluateConfig, ResolvedEvaluation } from '../../schemas/evaluate-config.js';
import { PlayConfig } from '../../schemas/play-config.js';
import type { TrainConfig } from '../../schemas/train-config.js';

/**
 * An evaluation's settings with nothing left out: what is not given is the run's, as its own evaluations have it.
 *
 * @param run  configuration of the run that is evaluated; null for a model that no run trained
 * @returns    what is missing, one sentence each, if something is
 */
export function settled(given: EvaluateConfig, run: TrainConfig | null): ResolvedEvaluation | string[] {
  const environment = given.environment ?? run?.environment;
  const temperature = given.temperature ?? run?.evaluation.temperature ?? run?.rollout.temperature;
  const maxResponseTokens = given.maxResponseTokens ?? run?.rollout.maxResponseTokens;
  const maxTurns = given.maxTurns ?? run?.rollout.maxTurns;
  if (environment && temperature && maxResponseTokens && maxTurns) {
    const played = { ...run?.rollout, ...stated(given), maxResponseTokens, maxTurns };
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

/** What was written, without what was left out. */
export const stated = (given: EvaluateConfig): Partial<EvaluateConfig> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
