import type { Demonstration } from '../../schemas/environment-protocol.js';
import type { TextCodec, TokenSequence } from '../policy/policy.js';
import { beginsThinking, exchangeOf, firstPrompt } from '../rollout/prompt.js';

/** One conversation's target turns; they share prefixes, so they form one row. */
export type DemonstratedConversation = TokenSequence[];

/** What an answer begins with where the prompt ends inside `<think>`: without it, all of it would be thinking. */
const WITHOUT_THINKING = '\n</think>\n\n';

/**
 * Token sequences of a demonstration's target turns, with the very prompts that a rollout would make,
 * cut before the first turn that would pass `maxTokens`.
 * @returns empty if not even the first target fits
 */
export function demonstratedTurns(
  codec: TextCodec,
  { taskId, messages, firstTarget }: Demonstration,
  maxTokens: number,
): DemonstratedConversation {
  const turns: DemonstratedConversation = [];
  let from = firstTarget;
  let promptIds = firstPrompt(codec, messages.slice(0, firstTarget));
  for (;;) {
    const target = messages[from];
    if (target?.role !== 'assistant') return turns;
    const response = `${beginsThinking(codec, promptIds) ? WITHOUT_THINKING : ''}${target.content}`;
    const responseIds = [...codec.encode(response), codec.endOfTurn.id];
    if (promptIds.length + responseIds.length > maxTokens) return turns;
    turns.push({ prefixGroup: taskId, promptIds, responseIds });
    const next = messages.findIndex(({ role }, i) => i > from && role === 'assistant');
    if (next < 0) return turns;
    const { appendedIds } = exchangeOf(
      codec,
      messages.slice(0, from),
      { responseIds, responseEnd: 'end-of-turn' },
      messages.slice(from + 1, next),
    );
    promptIds = [...promptIds, ...responseIds, ...appendedIds];
    from = next;
  }
}

/** Share of the peak learning rate at a step: linear warm-up from above 0, then linear to `finalRate` at the last step. */
export function rateAt(step: number, steps: number, warmUpSteps: number, finalRate: number): number {
  if (step < warmUpSteps) return (step + 1) / warmUpSteps;
  const progress = steps - warmUpSteps <= 1 ? 1 : (step - warmUpSteps) / (steps - warmUpSteps - 1);
  return 1 - (1 - finalRate) * progress;
}

/**
 * Gradient of the supervised loss with respect to the log-probs: the mean over turns of each turn's
 * mean negative log-prob, so that every turn weighs the same however long.
 */
export const imitationGradient = (logProbs: readonly (readonly number[])[], turns: number): number[][] =>
  logProbs.map((row) => row.map(() => -1 / (row.length * turns)));
