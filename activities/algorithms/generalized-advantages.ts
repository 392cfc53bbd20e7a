import { mean, populationStandardDeviation } from '../numerics/statistics.js';

export interface DiscountOptions {
  readonly gamma: number;
  readonly lambda: number;
}

export interface TokenAdvantages {
  /** A_l */
  readonly advantages: number[];
  /** What V_l is trained towards: A_l + V_l. */
  readonly returns: number[];
}

/**
 * Generalised advantage estimation (Eq. 11 to 16 of arXiv 1506.02438) over the tokens of a trajectory, all its turns
 * in a row: delta_l = r_l + gamma V_{l+1} - V_l and A_l = delta_l + gamma lambda A_{l+1}, with V = A = 0 after the
 * last token, which alone is rewarded.
 *
 * @param reward  of the whole trajectory
 * @param values  V_l before each token, in the reward's units
 */
export function generalizedAdvantages(
  reward: number,
  values: readonly number[],
  { gamma, lambda }: DiscountOptions,
): TokenAdvantages {
  const advantages = new Array<number>(values.length).fill(0);
  let [nextValue, nextAdvantage] = [0, 0];
  for (let l = values.length - 1; l >= 0; l--) {
    const delta = (l === values.length - 1 ? reward : 0) + gamma * nextValue - values[l]!;
    nextAdvantage = advantages[l] = delta + gamma * lambda * nextAdvantage;
    nextValue = values[l]!;
  }
  return { advantages, returns: advantages.map((advantage, l) => advantage + values[l]!) };
}

/** Keeps the division finite when all advantages are equal. */
const EPSILON = 1e-6;

/**
 * Advantages of all tokens of a batch, minus their mean over their deviation (`batch`) or as they are, then clamped to
 * [-clip, clip]. The rows keep their shapes.
 */
export function normalizedAdvantages(
  rows: readonly (readonly number[])[],
  { normalization, advantageClip }: { readonly normalization: 'batch' | 'none'; readonly advantageClip: number | null },
): number[][] {
  const all = rows.flat();
  const [shift, scale] = normalization === 'batch' ? [mean(all), populationStandardDeviation(all) + EPSILON] : [0, 1];
  const clip = advantageClip ?? Infinity;
  return rows.map((row) => row.map((advantage) => Math.min(clip, Math.max(-clip, (advantage - shift) / scale))));
}

/** A trajectory as GAE sees it: its reward, and V before each token of each of its turns. */
export interface ValuedTrajectory {
  readonly reward: number;
  readonly values: readonly (readonly number[])[];
}

/**
 * Normalised advantages and the returns of every token of an iteration: GAE over each trajectory's tokens in a row,
 * dealt back to its turns.
 *
 * @returns [trajectory][turn]
 */
export function tokenAdvantagesOf(
  trajectories: readonly ValuedTrajectory[],
  options: DiscountOptions & Parameters<typeof normalizedAdvantages>[1],
): (TokenAdvantages & { readonly values: readonly number[] })[][] {
  const estimated = trajectories.map(({ reward, values }) => generalizedAdvantages(reward, values.flat(), options));
  const normalized = normalizedAdvantages(
    estimated.map(({ advantages }) => advantages),
    options,
  );
  return trajectories.map(({ values }, i) => {
    let at = 0;
    return values.map((ofTurn) => {
      const [from, to] = [at, (at += ofTurn.length)];
      return {
        advantages: normalized[i]!.slice(from, to),
        returns: estimated[i]!.returns.slice(from, to),
        values: ofTurn,
      };
    });
  });
}
