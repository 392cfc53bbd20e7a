import { z } from 'zod';

const SLIDING_WINDOW = z.int().positive().meta({ description: 'N: number of last turns that a prompt holds.' });

/**
 * What of the earlier turns a prompt holds: all of it; all but the earlier responses' `<think>...</think>`, as the
 * paper's; or the first prompt and the last turns only. Every turn is trained on with the very ids of its own prompt.
 */
export const HistoryPolicy = z.union(
  [z.enum(['full', 'thinking-stripped']), z.strictObject({ slidingWindow: SLIDING_WINDOW })],
  {
    error: 'must be "full", "thinking-stripped" or {"slidingWindow": N}',
  },
);
export type HistoryPolicy = z.infer<typeof HistoryPolicy>;

/** Names that every chat template is given in another way. */
const GIVEN = ['messages', 'add_generation_prompt', 'bos_token', 'eos_token'];

/** Why a value cannot be handed to a template through JSON without becoming another one; null if it can. */
function lossOf(value: unknown, path: string): string | null {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value))
    return `at ${path} a whole number past 2^53, of which digits are lost: give it as a text`;
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, inner] of Object.entries(value)) {
    if (!Array.isArray(value) && /^\d+$/.test(name))
      return `at ${path} the key "${name}": keys that are numbers lose their order here`;
    const loss = lossOf(inner, `${path}.${name}`);
    if (loss !== null) return loss;
  }
  return null;
}

/** Variables of a chat template by name; a whole number is an int to the template (1.0 cannot be told from 1). */
export const TemplateArguments = z
  .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be a name'), z.json())
  .superRefine((given, context) => {
    const issue = (message: string) => context.addIssue({ code: 'custom', message });
    for (const name of GIVEN.filter((one) => one in given))
      issue(`has "${name}", which templates are given by themselves: leave it out`);
    for (const [name, value] of Object.entries(given)) {
      const loss = lossOf(value, name);
      if (loss !== null) issue(`holds ${loss}`);
    }
  });

/** How episodes are played; evaluations play them alike. */
export const PlayConfig = z.strictObject({
  maxResponseTokens: z.int().positive().meta({
    description: 'Largest number of tokens sampled per response, the end-of-turn token included.',
  }),
  maxTurns: z.int().positive().meta({
    description: 'T: largest number of turns of an episode. A run refuses task sets with longer tasks.',
  }),
  maxPromptTokens: z
    .int()
    .positive()
    .nullable()
    .default(null)
    .meta({
      description:
        'Longest prompt in tokens. A longer one ends the episode (`context-overflow`), as does one that is longer ' +
        'than the model can read; null leaves only that second limit.',
    }),
  templateArguments: TemplateArguments.optional().meta({
    description:
      'What the chat template gets besides the messages, e.g. {"enable_thinking": false} or {"tools": [...]}. Leave ' +
      'it out for none.',
  }),
  templateDate: z.iso
    .datetime({
      local: true,
      offset: false,
      precision: 0,
      error: 'must be a date and time without a zone, e.g. 2026-11-28T15:30:00',
    })
    .optional()
    .meta({
      description:
        'The date and time that the function strftime_now of the chat template shows, e.g. 2026-11-28T15:30:00. ' +
        'Left out, it is the time when the run was opened (UTC), if the template asks for it.',
    }),
  history: HistoryPolicy.default('full').meta({
    description:
      'What a prompt holds of the earlier turns. `full`: all of it. `thinking-stripped`: all but the ' +
      '`<think>...</think>` of earlier responses, as in the paper. {"slidingWindow": N}: the first prompt and the ' +
      'last N turns. Every turn is trained on with the token ids of its own prompt.',
  }),
  maxObservationTokens: z
    .int()
    .positive()
    .nullable()
    .default(null)
    .meta({
      description:
        'Number of tokens to which each message of the environment after a response is cut; null shows all of it. ' +
        "The code of the paper's authors uses 3000.",
    }),
  truncatedResponse: z
    .enum(['continue', 'end'])
    .default('continue')
    .meta({
      description:
        'What follows a response that was cut by maxResponseTokens. `continue`: the environment gets it as it is, ' +
        'and the episode goes on. `end`: the episode ends there (`truncated`).',
    }),
  cutEpisodeReward: z
    .enum(['verifier', 'zero'])
    .default('verifier')
    .meta({
      description:
        'Reward of an episode that ended as `truncated` or `context-overflow`. `verifier`: what the verifier gives ' +
        'for the part that was played. `zero`: 0.',
    }),
});
export type PlayConfig = z.infer<typeof PlayConfig>;
