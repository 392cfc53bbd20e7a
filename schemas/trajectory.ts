import { z } from 'zod';
import { Action, Message } from './environment-protocol.js';
import { Sha256 } from './artifact-ref.js';

/** Token ids of the model's vocabulary. */
export const TokenIds = z.array(z.int().nonnegative());

/** How a response stopped. */
export const ResponseEnd = z.enum(['end-of-turn', 'token-limit']);

/** One turn t of a trajectory: a training sample with a prompt of its own. */
export const Turn = z.strictObject({
  /** t, counted from 1. */
  turn: z.int().positive(),
  /** x_it: the exact ids the model saw. */
  promptIds: TokenIds,
  /** y_it: the exact ids that were sampled, the token that ended the response included. */
  responseIds: TokenIds.min(1),
  /** log pi(y_itl | ...) as the sampler computed it, in nats, one per response id. */
  behaviorLogProbs: z.array(z.number()),
  responseEnd: ResponseEnd,
  /** Text of the token that ended the response, where it is not the one that the chat template closes turns with. */
  endedBy: z.string().optional(),
  action: Action,
  /** What the environment appended after the action; empty at the end of the episode. */
  observation: z.array(Message),
  observationHash: Sha256,
});
export type Turn = z.infer<typeof Turn>;

/**
 * Why the episode ended: by the environment, with the last check passed or failed; at the turn limit; with a response cut
 * by the token limit, where that ends it; or because the next prompt is too long. An infrastructure failure is none of these: the activity fails and is
 * retried, and nothing is scored.
 */
export const EpisodeEnd = z.enum(['completed', 'failed-turn', 'turn-limit', 'truncated', 'context-overflow']);
export type EpisodeEnd = z.infer<typeof EpisodeEnd>;

/** One episode under theta_k, whole: the unit that is rewarded. */
export const Trajectory = z.strictObject({
  /** `<taskId>#<sample>`: unique within an iteration, and what suffix ratios are keyed by. */
  id: z.string(),
  taskId: z.string(),
  /** g, counted from 0, of the G samples of the task. */
  sample: z.int().nonnegative(),
  turns: z.array(Turn).min(1),
  /** T of the task; the trajectory may have fewer turns. */
  taskTurns: z.int().positive(),
  /** R_i, undiscounted. */
  reward: z.number(),
  success: z.boolean(),
  /** Per turn played: did the verifier pass it? */
  turnsPassed: z.array(z.boolean()),
  end: EpisodeEnd,
});
export type Trajectory = z.infer<typeof Trajectory>;

export const trajectoryId = (taskId: string, sample: number): string => `${taskId}#${sample}`;
