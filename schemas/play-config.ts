import { z } from 'zod';

/**
 * What of the earlier turns a prompt holds: all of it; all but the earlier responses' `<think>...</think>`, as the
 * paper's; or the first prompt and the last turns only. Every turn is trained on with the very ids of its own prompt.
 */
export const HistoryPolicy = z.union([z.enum(['full', 'thinking-stripped']), z.strictObject({ slidingWindow: z.int().positive() })], {
  error: 'must be "full", "thinking-stripped" or {"slidingWindow": N}',
});
export type HistoryPolicy = z.infer<typeof HistoryPolicy>;

/** Names that every chat template is given in another way. */
const GIVEN = ['messages', 'add_generation_prompt', 'bos_token', 'eos_token'];

/** Why a value cannot be handed to a template through JSON without becoming another one; null if it can. */
function lossOf(value: unknown, path: string): string | null {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) return `at ${path} a whole number past 2^53, of which digits are lost: give it as a text`;
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, inner] of Object.entries(value)) {
    if (!Array.isArray(value) && /^\d+$/.test(name)) return `at ${path} the key "${name}": keys that are numbers lose their order here`;
    const loss = lossOf(inner, `${path}.${name}`);
    if (loss !== null) return loss;
  }
  return null;
}

/** Variables of a chat template by their names; a whole number is an int to the template (1.0 cannot be told from 1 here). */
export const TemplateArguments = z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be a name'), z.json()).superRefine((given, context) => {
  const issue = (message: string) => context.addIssue({ code: 'custom', message });
  for (const name of GIVEN.filter((one) => one in given)) issue(`has "${name}", which templates are given by themselves: leave it out`);
  for (const [name, value] of Object.entries(given)) {
    const loss = lossOf(value, name);
    if (loss !== null) issue(`holds ${loss}`);
  }
});

/** How episodes are played; evaluations play them alike. */
export const PlayConfig = z.strictObject({
  /** Sampled tokens per response at most, the end-of-turn token included. */
  maxResponseTokens: z.int().positive(),
  /** T at most; longer tasks are refused rather than cut. */
  maxTurns: z.int().positive(),
  /** A prompt beyond these ends the episode (`context-overflow`), as does one that the model cannot read; null is what the model reads. */
  maxPromptTokens: z.int().positive().nullable().default(null),
  /** What the chat template reads besides the messages, e.g. {"enable_thinking": false}, {"tools": [...]}; left out: nothing. */
  templateArguments: TemplateArguments.optional(),
  /** The date that a template's strftime_now shows, e.g. 2026-11-28T15:30:00; left out: when the run was opened (UTC), if the template asks. */
  templateDate: z.iso.datetime({ local: true, offset: false, precision: 0, error: 'must be a date and time without a zone, e.g. 2026-11-28T15:30:00' }).optional(),
  history: HistoryPolicy.default('full'),
  /** What the environment says after a response is shown up to so many tokens a message; null shows all of it, the authors' code 3000. */
  maxObservationTokens: z.int().positive().nullable().default(null),
  /** A response cut by maxResponseTokens: the environment gets it as it is and the episode goes on, or it ends there (`truncated`). */
  truncatedResponse: z.enum(['continue', 'end']).default('continue'),
  /** Reward of an episode that ended `truncated` or by `context-overflow`: the verifier's word on what was done until then, or 0. */
  cutEpisodeReward: z.enum(['verifier', 'zero']).default('verifier'),
});
export type PlayConfig = z.infer<typeof PlayConfig>;
