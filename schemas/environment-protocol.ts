import { z } from 'zod';
import { Task } from './task.js';
import { Sha256 } from './artifact-ref.js';

/** A chat message, as the model's chat template takes it. */
export const Message = z.strictObject({
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: z.string(),
  /**
   * Parts of the content, from and to (exclusive) in UTF-16 units, in order: what they spell is text even where it is the
   * name of a token, as in the content of role `tool`. Absent where no part is.
   */
  verbatim: z.array(z.tuple([z.int().nonnegative(), z.int().nonnegative()])).optional(),
});
export type Message = z.infer<typeof Message>;

/**
 * A call that the response's text spelled out, or why a piece of it is none. A number that JavaScript's
 * JSON would alter (5.0, 1e3, integers beyond 2^53) is written as `{ "$number": "5.0" }`: environments answer
 * 5 and 5.0 differently.
 */
export const ToolCall = z.union([
  z.strictObject({
    name: z.string(),
    /** Positional arguments, JSON values. */
    positional: z.array(z.json()),
    /** Keyword arguments, JSON values. */
    keyword: z.record(z.string(), z.json()),
  }),
  z.strictObject({
    /** What is wrong with the text; the environment shows it to the model as the observation. */
    malformed: z.string(),
  }),
]);
export type ToolCall = z.infer<typeof ToolCall>;

/** What the policy did in one turn: the decoded response and the calls parsed from it. */
export const Action = z.strictObject({ content: z.string(), calls: z.array(ToolCall) });
export type Action = z.infer<typeof Action>;

export const EpisodeId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}$/);

export const ListTasksResponse = z.strictObject({ tasks: z.array(Task) });

export const ResetRequest = z.strictObject({
  /** Chosen by the caller, the same on every retry; a repeat returns the stored reply. */
  episodeId: EpisodeId,
  taskId: z.string(),
  seed: z.int().nonnegative(),
});
export type ResetRequest = z.infer<typeof ResetRequest>;

/** What the environment shows at the start or after a step. */
export const Observation = z.strictObject({
  /** Messages to append to the conversation (at reset: the whole conversation so far). */
  messages: z.array(Message),
  /** The episode is over: no further step is taken. */
  done: z.boolean(),
  /** SHA-256 of the canonical JSON of `messages` and `done`: what a restore is checked against. */
  hash: Sha256,
});
export type Observation = z.infer<typeof Observation>;

export const StepRequest = z.strictObject({
  episodeId: EpisodeId,
  /** 1 for the first action. The same index with the same action returns the stored reply, with another action 409. */
  stepIndex: z.int().positive(),
  action: Action,
});
export type StepRequest = z.infer<typeof StepRequest>;

export const RestoreRequest = z.strictObject({
  ...ResetRequest.shape,
  actions: z.array(Action),
  /** Hash of the observation at reset, then of each step's: actions.length + 1 of them. */
  observationHashes: z.array(Sha256),
});
export type RestoreRequest = z.infer<typeof RestoreRequest>;

/** The verifier's word on a finished episode. */
export const Verdict = z.strictObject({
  /** Team reward R of the trajectory, in [0, 1]. */
  score: z.number().min(0).max(1),
  /** The whole task was solved. */
  success: z.boolean(),
  /** Per turn, in order: was the turn's check passed? Shorter than the task's turns if the episode ended early. */
  turnsPassed: z.array(z.boolean()),
});
export type Verdict = z.infer<typeof Verdict>;

/** A conversation with the right answers in it: what a warm start imitates. */
export const Demonstration = z.strictObject({
  taskId: z.string(),
  /** Whole conversation; every assistant message at or after `firstTarget` is a target, all else context. */
  messages: z.array(Message),
  firstTarget: z.int().nonnegative(),
});
export type Demonstration = z.infer<typeof Demonstration>;

export const DemonstrationsResponse = z.strictObject({ demonstrations: z.array(Demonstration) });

/** Body of every error reply: 4xx is the caller's fault and is not retried, 5xx is. */
export const EnvironmentErrorBody = z.strictObject({
  code: z.enum([
    'bad_request', // not of the protocol's form
    'unknown_task',
    'episode_lost', // 404: the server does not know the episode (it restarted): restore it
    'step_conflict', // 409: another action at a used index, or a gap
    'restore_mismatch', // 409: the replayed observation differs from the recorded one
    'too_many_episodes', // 429: wait and try again
    'internal', // 500: retry
  ]),
  message: z.string(),
});
export type EnvironmentErrorBody = z.infer<typeof EnvironmentErrorBody>;
