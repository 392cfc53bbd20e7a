import type { RetentionRule } from '../../schemas/retention-rule.js';

/** A committed iteration and what rules look at. */
export interface Candidate {
  /** k, from 0. */
  readonly iteration: number;
  readonly meanReward: number;
  readonly successRate: number;
}

/** The iterations that a rule keeps. Of equally good ones the later is the better. */
export function keptIterations(
  { last, every, best }: RetentionRule,
  candidates: readonly Candidate[],
  tagged: readonly number[],
): Set<number> {
  const inOrder = [...candidates].sort((a, b) => a.iteration - b.iteration);
  const kept = new Set(tagged);
  for (const { iteration } of inOrder.slice(-last)) kept.add(iteration);
  if (every !== null) for (const { iteration } of inOrder) if ((iteration + 1) % every === 0) kept.add(iteration);
  if (best !== null) {
    const ranked = [...inOrder].sort((a, b) => b[best.metric] - a[best.metric] || b.iteration - a.iteration);
    for (const { iteration } of ranked.slice(0, best.count)) kept.add(iteration);
  }
  return kept;
}
