import { mean } from '../numerics/statistics.js';

type Interval = readonly [low: number, high: number];
const clamp = (value: number, [low, high]: Interval): number => Math.min(high, Math.max(low, value));

/**
 * Departure from Eq. 6: exp of more would overflow long before a ratio that large could mean anything. Beyond it a
 * ratio stands still.
 */
const LOG_RATIO_LIMIT: Interval = [-20, 20];

/**
 * Length-normalised log sequence ratio of one response: the mean over its tokens of
 * log pi_theta - log pi_ref (as in GSPO; s of Eq. 6 is its exponential). Nats per token.
 */
export function meanLogRatio(current: readonly number[], reference: readonly number[]): number {
  if (current.length !== reference.length || current.length === 0) {
    throw new RangeError(
      `log-probs of ${current.length} and ${reference.length} tokens: a ratio needs the same response, of at least 1 token`,
    );
  }
  return mean(current.map((value, l) => value - reference[l]!));
}

/**
 * s of Eq. 6: the length-normalised sequence ratio of one response, without unit; 1 where nothing moved.
 *
 * @param current    log-probs of its tokens under theta, nats
 * @param reference  log-probs of the same tokens under the reference point
 * @throws {RangeError} unless both are of the same tokens, at least one
 */
export const sequenceRatio = (current: readonly number[], reference: readonly number[]): number =>
  Math.exp(clamp(meanLogRatio(current, reference), LOG_RATIO_LIMIT));

/**
 * pi_theta(y) / pi_ref(y) itself, of which the sequence ratio is the L-th root: what a change of measure takes for
 * rho.
 */
export const densityRatio = (current: readonly number[], reference: readonly number[]): number =>
  Math.exp(clamp(meanLogRatio(current, reference) * current.length, LOG_RATIO_LIMIT));

/** The ratio, and its derivative by the mean log ratio: itself, and 0 where it stands still. */
export function differentiableRatio(
  current: readonly number[],
  reference: readonly number[],
): { ratio: number; slope: number } {
  const ratio = sequenceRatio(current, reference);
  return { ratio, slope: Math.abs(meanLogRatio(current, reference)) > LOG_RATIO_LIMIT[1] ? 0 : ratio };
}

export interface SuffixClips {
  /** Clamp on each rho; null is the paper. */
  readonly suffixRatioClip: Interval | null;
  /** Clamp on the running product; null is the paper. */
  readonly suffixProductClip: Interval | null;
}

/**
 * Eq. 8: M_t = rho_t M_{t+1}, kept as the product of ratios by trajectory id, so that M_t is that
 * product times A. Keyed by id and not by position: pools may be shuffled or dealt out at will.
 *
 * @param ratios  rho_it of the trajectories active at the turn just updated; all others have ratio 1
 */
export function extendSuffixProducts(
  products: Readonly<Record<string, number>>,
  ratios: ReadonlyMap<string, number>,
  { suffixRatioClip, suffixProductClip }: SuffixClips,
): Record<string, number> {
  const everything: Interval = [0, Infinity];
  return Object.fromEntries(
    Object.entries(products).map(([id, product]) => {
      const ratio = ratios.get(id);
      if (ratio === undefined) return [id, product];
      return [id, clamp(product * clamp(ratio, suffixRatioClip ?? everything), suffixProductClip ?? everything)];
    }),
  );
}

/** Eq. 7: M_{T+1} = A, so every product starts at 1. */
export const initialSuffixProducts = (ids: readonly string[]): Record<string, number> =>
  Object.fromEntries(ids.map((id) => [id, 1]));
