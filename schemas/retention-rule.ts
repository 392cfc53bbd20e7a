import { z } from 'zod';

/** Which iterations of a run stay in the store; what none of the rules keeps may go. Tagged ones stay always. */
export const RetentionRule = z.strictObject({
  /** The last n. */
  last: z.int().positive(),
  /** Every k-th, counted from 1: 10 keeps iterations 10, 20, 30. Null: none for that. */
  every: z.int().positive().nullable().default(null),
  /** The n best by a metric of the rollouts that their theta_{k+1} was trained on. Null: none for that. */
  best: z.strictObject({ metric: z.enum(['meanReward', 'successRate']), count: z.int().positive() }).nullable().default(null),
});
export type RetentionRule = z.infer<typeof RetentionRule>;
