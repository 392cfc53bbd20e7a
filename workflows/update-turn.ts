import type { UpdateTurnInput, UpdateTurnResult } from '../schemas/steps.js';
import { updateTurnSpread } from './spread-turn.js';
import { warmFirst } from './warm-first.js';

/**
 * One turn's update, as one step or spread over workers.
 *
 * @param turns  T of this iteration
 * @param warm   queue of the worker that holds theta, if one is known
 */
export const updateTurn = (input: UpdateTurnInput, turns: number, warm?: string): Promise<UpdateTurnResult> =>
  input.run.spread
    ? updateTurnSpread(input, input.run.spread, warm)
    : warmFirst(warm, `update turn ${input.turn} of ${turns}`, (activities) => activities.updateTurn(input));
