import type { Message } from '../../schemas/environment-protocol.js';
import type { TextCodec } from '../policy/policy.js';

/** The chat template does not say where a turn ends in a way that sampled tokens can be kept exactly. */
export class TemplateUnsupported extends Error {
  override name = 'TemplateUnsupported';
}

/** A sampled response, as far as the next prompt depends on it. */
export interface AnsweredTurn {
  readonly promptIds: readonly number[];
  readonly responseIds: readonly number[];
  readonly responseEnd: 'end-of-turn' | 'token-limit';
}

/** Token ids of a conversation up to the generation prompt. */
export const firstPrompt = (codec: TextCodec, conversation: readonly Message[]): number[] =>
  codec.encode(codec.render(conversation, { generationPrompt: true }));

/**
 * Token ids of the next prompt: the ids the model saw, the ids it sampled, then the ids of what the
 * chat template puts between that response and the next generation prompt. What was sampled is never
 * tokenised again: log-probabilities would be of other tokens than those that were drawn.
 *
 * @param conversation  messages of the turn's prompt, without the response
 * @param appended      what the environment appended after the response
 * @throws {TemplateUnsupported} if the template does not end an assistant message with the end-of-turn token
 */
export function nextPrompt(codec: TextCodec, conversation: readonly Message[], answered: AnsweredTurn, appended: readonly Message[]): number[] {
  const suffix = textAfterResponse(codec, conversation, appended);
  const { text } = codec.endOfTurn;
  // A response cut by the token limit still needs its turn closed; one that ended has sampled the token itself.
  const closing = answered.responseEnd === 'end-of-turn' ? suffix.slice(text.length) : suffix;
  return [...answered.promptIds, ...answered.responseIds, ...codec.encode(closing)];
}

/** What the template writes after the content of an assistant message, end-of-turn token first. */
function textAfterResponse(codec: TextCodec, conversation: readonly Message[], appended: readonly Message[]): string {
  const sentinel = absentFrom([...conversation, ...appended]);
  const rendered = codec.render([...conversation, { role: 'assistant', content: sentinel }, ...appended], { generationPrompt: true });
  const at = rendered.lastIndexOf(sentinel);
  if (at < 0) throw new TemplateUnsupported('the chat template leaves out the content of an assistant message, so the next prompt cannot continue it');
  const suffix = rendered.slice(at + sentinel.length);
  if (!suffix.startsWith(codec.endOfTurn.text)) {
    throw new TemplateUnsupported(
      `the chat template continues an assistant message with ${JSON.stringify(suffix.slice(0, 40))}, expected the end-of-turn token ${codec.endOfTurn.text}`,
    );
  }
  return suffix;
}

/** A word that occurs in none of the messages. */
function absentFrom(messages: readonly Message[]): string {
  for (let n = 0; ; n++) {
    const word = `RESPONSE-${n}-GOES-HERE`;
    if (!messages.some(({ content }) => content.includes(word))) return word;
  }
}
