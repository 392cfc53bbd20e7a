import type { TurnUpdateMetrics, Violation } from '../../schemas/metrics.js';
import type { GuardConfig } from '../../schemas/train-config.js';

/** A turn as the guard sees it: on all of its samples, against theta_k and against theta as the turn found it. */
export interface TurnMovement {
  readonly surrogateBefore: number;
  readonly surrogateAfter: number;
  /** KL(theta_k || theta), nats per token. */
  readonly kl: number;
}

/** In which ways an update undid itself; none is an empty list. What is no number is judged by nothing else. */
export function violationsOf(
  { surrogateBefore, surrogateAfter, kl }: TurnMovement,
  { maxKl, surrogateTolerance }: GuardConfig,
): Violation[] {
  if (![surrogateAfter, kl].every(Number.isFinite)) return ['non-finite'];
  const found: Violation[] = [];
  if (surrogateTolerance !== null && surrogateAfter < surrogateBefore - surrogateTolerance)
    found.push('surrogate-fell');
  if (maxKl !== null && kl > maxKl) found.push('kl-over-limit');
  return found;
}

/** What is done about an update that ended with these violations; `stopped` if epochs were left out because of them. */
export function decisionOn(
  violations: readonly Violation[],
  { onViolation }: Pick<GuardConfig, 'onViolation'>,
  stopped: boolean,
): TurnUpdateMetrics['guard']['decision'] {
  if (violations.length > 0 && onViolation === 'reject') return 'rejected';
  return stopped ? 'stopped' : 'kept';
}
