import { z } from 'zod';

/** Which iterations of a run stay in the store; what none of the rules keeps may go. Tagged ones stay always. */
export const RetentionRule = z.strictObject({
  last: z.int().positive().meta({ description: 'Number of last iterations that are kept.' }),
  every: z.int().positive().nullable().default(null).meta({
    description: 'k: every k-th iteration is kept, counted from 1 (10 keeps 10, 20, 30); null disables this rule.',
  }),
  best: z
    .strictObject({
      metric: z.enum(['meanReward', 'successRate']).meta({
        description: 'The metric of the rollouts of an iteration by which it is judged.',
      }),
      count: z.int().positive().meta({ description: 'Number of best iterations that are kept.' }),
    })
    .nullable()
    .default(null)
    .meta({ description: 'The best iterations by a metric are kept, too; null disables this rule.' }),
});
export type RetentionRule = z.infer<typeof RetentionRule>;
