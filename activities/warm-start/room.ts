import type { Demonstration } from '../../schemas/environment-protocol.js';
import type { TextCodec } from '../policy/policy.js';
import { demonstratedTurns } from './demonstrations.js';

/** Of a run's settings, what right answers must fit in, in tokens. */
export interface Room {
  /** rollout.maxResponseTokens */
  readonly maxResponseTokens: number;
  /** warmStart.maxTokens; null without a warm start. */
  readonly maxTokens: number | null;
}

/**
 * What a run's limits cut off the right answers that are known, a sentence each with the number that would do; none if all fit.
 * A run would not say: it drops demonstrations, and a model that may say less than the answer never says it.
 */
export function roomProblems(
  codec: TextCodec,
  demonstrations: readonly Demonstration[],
  { maxResponseTokens, maxTokens }: Room,
): string[] {
  const conversations = demonstrations.map((demonstration) => {
    const turns = demonstratedTurns(codec, demonstration, Infinity);
    const kept = maxTokens === null ? turns.length : demonstratedTurns(codec, demonstration, maxTokens).length;
    const last = turns.at(-1);
    return {
      tokens: last ? last.promptIds.length + last.responseIds.length : 0,
      firstPrompt: turns[0]?.promptIds.length ?? 0,
      longestResponse: Math.max(0, ...turns.map(({ responseIds }) => responseIds.length)),
      dropped: kept === 0 && turns.length > 0,
      shortened: kept > 0 && kept < turns.length,
    };
  });
  const most = (of: (conversation: (typeof conversations)[number]) => number) => Math.max(0, ...conversations.map(of));
  const [dropped, shortened] = [
    conversations.filter((one) => one.dropped).length,
    conversations.filter((one) => one.shortened).length,
  ];
  const longest = most(({ longestResponse }) => longestResponse);
  const contextNeeded = most(({ tokens }) => tokens);
  return [
    ...(dropped + shortened > 0
      ? [
          `warmStart.maxTokens is ${maxTokens}: of ${demonstrations.length} demonstrations, ${dropped} are dropped and ${shortened} lose their last turns; ` +
            `the longest takes ${contextNeeded} tokens, ${most(({ firstPrompt }) => firstPrompt)} of them the first prompt at its longest`,
        ]
      : []),
    ...(longest > maxResponseTokens
      ? [
          `rollout.maxResponseTokens is ${maxResponseTokens}: the longest right answer takes ${longest} tokens, and cannot be said in so few`,
        ]
      : []),
    ...(contextNeeded > codec.contextLength
      ? [`the model's context is ${codec.contextLength} tokens: the longest demonstration takes ${contextNeeded}`]
      : []),
  ];
}
