import { groupBy } from '../../activities/numerics/group-by.js';
import { sum } from '../../activities/numerics/statistics.js';
import { grpoLoss, type ResponseSample, type SampleLoss } from '../../activities/algorithms/objectives.js';
import type { GrpoConfig, GspoConfig, ReinforceConfig, SeeupoConfig } from '../../schemas/train-config.js';

/**
 * PPO with a learned critic, **the laboratory's own**: where real runs' `ppo` has a linear value head, it has a value for every
 * place where a token is chosen, undiscounted GAE over the tokens of the whole trajectory, advantages
 * whitened over the batch, and the token-level clipped loss of the project's GRPO.
 */
export interface LabPpo {
  readonly name: 'ppo';
  readonly epochs: number;
  readonly clip: { readonly low: number; readonly high: number };
  /** lambda of GAE (arXiv 1506.02438); 1 as real runs' default. */
  readonly lambda: number;
  /** Share of the way to the mean lambda-return of its visits that a value goes in an iteration. */
  readonly criticRate: number;
}

export const labPpo = (epochs: number): LabPpo => ({
  name: 'ppo',
  epochs,
  clip: { low: 0.2, high: 0.2 },
  lambda: 1,
  criticRate: 1,
});

/** What the laboratory plays: an algorithm that is none of these has no place in it yet. */
export type LabAlgorithm = SeeupoConfig | ReinforceConfig | GrpoConfig | GspoConfig | LabPpo;

/** One token of one trajectory. */
export interface TokenVisit {
  /** Place where it was chosen. */
  readonly context: number;
  /** Share of its trajectory. */
  readonly share: number;
}

/** Moves each visited place's value towards the mean of V + A over its visits, in place. */
export function fitCritic(
  values: Float64Array,
  visits: readonly TokenVisit[],
  advantages: readonly number[],
  criticRate: number,
): void {
  for (const [context, members] of groupBy([...visits.keys()], (i) => visits[i]!.context)) {
    const total = sum(members.map((i) => visits[i]!.share));
    if (total > 0)
      values[context]! += (criticRate * sum(members.map((i) => visits[i]!.share * advantages[i]!))) / total;
  }
}

/** (A - mean) / (std + 1e-6), weighted by the visits' shares. */
export function whitened(advantages: readonly number[], visits: readonly TokenVisit[]): number[] {
  const total = sum(visits.map(({ share }) => share));
  const average = (of: (advantage: number) => number): number =>
    sum(advantages.map((advantage, i) => visits[i]!.share * of(advantage))) / total;
  const centre = average((advantage) => advantage);
  const deviation = Math.sqrt(average((advantage) => (advantage - centre) ** 2));
  return advantages.map((advantage) => (advantage - centre) / (deviation + 1e-6));
}

/** The clipped token-level loss of one token, as part of a mean over `count`. */
export const ppoLoss =
  ({ clip }: LabPpo, count: number): ((sample: ResponseSample) => SampleLoss) =>
  (sample) =>
    grpoLoss(sample, { count, scale: 1 }, { clip, klCoefficient: 0 });
