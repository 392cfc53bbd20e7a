import { z } from 'zod';
import { ForkPoint } from './run.js';
import { RunId, type TrainConfigInput } from './train-config.js';

/** Input of `train` that goes on with a run from its store, whatever became of its Temporal server. */
export const ResumeRequest = z.strictObject({
  resumeFrom: z.strictObject({
    /** Whose prefix is written; the workflow may have another id. */
    run: RunId,
    /** Generation of the ownership to end, as a refusal names it: the holder is known to be gone. */
    takeOver: z.int().positive().optional(),
  }),
});
export type ResumeRequest = z.infer<typeof ResumeRequest>;

/** Input of `train` that begins a run at a point of another one and shares everything before it. */
export const ForkRequest = z.strictObject({
  forkFrom: z.strictObject({
    run: ForkPoint.shape.run,
    iteration: ForkPoint.shape.iteration,
    turn: ForkPoint.shape.turn.default(null),
  }),
  /** A part of TrainConfig: what is other from there on. */
  change: z.record(z.string(), z.unknown()).default({}),
});
export type ForkRequest = z.infer<typeof ForkRequest>;

/** Input of the `train` workflow, as a person writes it. */
export type TrainInput = TrainConfigInput | z.input<typeof ResumeRequest> | z.input<typeof ForkRequest>;
