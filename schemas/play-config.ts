import { z } from 'zod';

/**
 * What of the earlier turns a prompt holds: all of it; all but the earlier responses' `<think>...</think>`, as the
 * paper's; or the first prompt and the last turns only. Every turn is trained on with the very ids of its own prompt.
 */
export const HistoryPolicy = z.union([z.enum(['full', 'thinking-stripped']), z.strictObject({ slidingWindow: z.int().positive() })], {
  error: 'must be "full", "thinking-stripped" or {"slidingWindow": N}',
});
export type HistoryPolicy = z.infer<typeof HistoryPolicy>;

/** How episodes are played; evaluations play them alike. */
export const PlayConfig = z.strictObject({
  /** Sampled tokens per response at most, the end-of-turn token included. */
  maxResponseTokens: z.int().positive(),
  /** T at most; longer tasks are refused rather than cut. */
  maxTurns: z.int().positive(),
  /** A prompt beyond these ends the episode (`context-overflow`), as does one that the model cannot read; null is what the model reads. */
  maxPromptTokens: z.int().positive().nullable().default(null),
  history: HistoryPolicy.default('full'),
  /** What the environment says after a response is shown up to so many tokens a message; null shows all of it, the authors' code 3000. */
  maxObservationTokens: z.int().positive().nullable().default(null),
  /** A response cut by maxResponseTokens: the environment gets it as it is and the episode goes on, or it ends there (`truncated`). */
  truncatedResponse: z.enum(['continue', 'end']).default('continue'),
  /** Reward of an episode that ended `truncated` or by `context-overflow`: the verifier's word on what was done until then, or 0. */
  cutEpisodeReward: z.enum(['verifier', 'zero']).default('verifier'),
});
export type PlayConfig = z.infer<typeof PlayConfig>;
