import type { TurnAdvantage } from '../algorithms/algorithm.js';
import type { ResponseSample } from '../algorithms/objectives.js';

/** One active trajectory's seat in D_t: its turn's tokens and what is known about them. */
export interface PoolSample extends TurnAdvantage {
  readonly id: string;
  readonly taskId: string;
  readonly promptIds: readonly number[];
  readonly responseIds: readonly number[];
  /** log pi_theta_k, nats. */
  readonly old: readonly number[];
  readonly reference: readonly number[] | null;
  /** Product of the ratios of the turns updated before: M_{t+1,i} is it times A_i. */
  readonly suffixProduct: number;
}

/** M_{t+1,i}: the advantage times the ratios of the turns updated before. */
export const weightOf = ({ advantage, suffixProduct }: Pick<PoolSample, 'advantage' | 'suffixProduct'>): number =>
  suffixProduct * advantage;

/** A seat as a loss takes it, but for the log-probs that its ratio is made of. */
export const responseOf = (sample: PoolSample): Pick<ResponseSample, 'reference' | 'weight' | 'advantages'> => ({
  reference: sample.reference,
  weight: weightOf(sample),
  ...(sample.critic?.advantages && { advantages: sample.critic.advantages }),
});
