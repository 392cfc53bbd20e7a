import { z } from 'zod';

/** Which side of the environment's split a task is on; the two never share a task. */
export const Split = z.enum(['train', 'heldout']);
export type Split = z.infer<typeof Split>;

/** One task of an environment: a start state and a goal, played in at most `turns` turns. */
export const Task = z.strictObject({
  /** Unique within the environment, e.g. `8:0` for the window of BFCL task 8 that starts at user turn 0. */
  id: z.string().min(1).max(200),
  split: Split,
  /** T of this task: user turns, each answered by one response. */
  turns: z.int().positive(),
  /** What evaluations are told apart by, e.g. `multi_turn_base`. */
  category: z.string().min(1).max(100).optional(),
});
export type Task = z.infer<typeof Task>;
