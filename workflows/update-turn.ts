import type { UpdateTurnInput, UpdateTurnResult } from '../schemas/steps.js';
import { updateTurnSharded } from './sharded-turn.js';
import { onStickyWorker } from './sticky-worker.js';

/**
 * One turn's update, as one activity or sharded over workers.
 *
 * @param turns        T of this iteration
 * @param stickyQueue  task queue of the worker that holds theta, if one is known
 */
export const updateTurn = (input: UpdateTurnInput, turns: number, stickyQueue?: string): Promise<UpdateTurnResult> =>
  input.run.spread
    ? updateTurnSharded(input, input.run.spread, stickyQueue)
    : onStickyWorker(stickyQueue, `update turn ${input.turn} of ${turns}`, (activities) =>
        activities.updateTurn(input),
      );
