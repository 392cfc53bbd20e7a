import { z } from 'zod';

/** An execution of the train workflow: over continue-as-new it is one. */
export const Execution = z.strictObject({
  namespace: z.string(),
  workflowId: z.string(),
  /** Of the first of a chain of continuations; unlike any other on any server. */
  firstRunId: z.string(),
});
export type Execution = z.infer<typeof Execution>;

/** Who may write below a run's prefix: the only object of a run that is written more than once, by compare-and-swap. */
export const Ownership = z.strictObject({
  kind: z.literal('ownership'),
  /** Grows with every claim; steps of an earlier generation are refused. */
  generation: z.int().positive(),
  /** Null: the last holder has ended and let go. */
  holder: Execution.nullable(),
  /** When it was claimed, ISO 8601, and by a worker of which host: for messages. */
  since: z.string(),
  host: z.string(),
  /** Address of the Temporal server that the worker is connected to; null if it is not known. */
  server: z.string().nullable().default(null),
});
export type Ownership = z.infer<typeof Ownership>;
