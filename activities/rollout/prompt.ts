import type { Message } from '../../schemas/environment-protocol.js';
import type { HistoryPolicy, PlayConfig } from '../../schemas/play-config.js';
import type { TextCodec } from '../policy/policy.js';
import { withoutEnd } from './response-end.js';
import { endsInThinking, leadingThinking } from './thinking.js';
import { cutTo, quotedContent } from './verbatim.js';

/** The chat template does not say where a turn ends in a way that sampled tokens can be kept exactly. */
export class TemplateUnsupported extends Error {
  override name = 'TemplateUnsupported';
}

/** A sampled response, as far as later prompts depend on it. */
export interface AnsweredTurn {
  readonly responseIds: readonly number[];
  readonly responseEnd: 'end-of-turn' | 'token-limit';
}

/** A response and what the chat template puts between it and the next generation prompt. */
export interface Exchange {
  readonly responseIds: readonly number[];
  readonly appendedIds: readonly number[];
}

/** A codec whose template is given what a run, an evaluation or a warm start says it reads. */
export const withTemplate = <T extends TextCodec>(
  codec: T,
  { templateArguments, templateDate }: Pick<PlayConfig, 'templateArguments' | 'templateDate'>,
): T => ({
  ...codec,
  render: (messages, options) => codec.render(messages, { ...options, templateArguments, now: templateDate }),
});

/** Token ids of a conversation up to the generation prompt. */
export const firstPrompt = (codec: TextCodec, conversation: readonly Message[]): number[] =>
  codec.encode(codec.render(quoted(codec, conversation), { generationPrompt: true }));

/**
 * A turn that was answered, ready for the prompts after it. What was sampled is never tokenised again here: the ids
 * stay those that were drawn.
 *
 * @param conversation  messages of the turn's prompt, without the response
 * @param appended      what the environment appended after the response
 * @throws {TemplateUnsupported} if the template does not end an assistant message with the end-of-turn token
 */
export function exchangeOf(
  codec: TextCodec,
  conversation: readonly Message[],
  answered: AnsweredTurn,
  appended: readonly Message[],
): Exchange {
  const suffix = textAfterResponse(codec, conversation, appended);
  const { id, text } = codec.endOfTurn;
  // A response that was cut, or ended by another token than the template's, still needs its turn closed; others have sampled that token.
  const isClosed = answered.responseEnd === 'end-of-turn' && answered.responseIds.at(-1) === id;
  const closing = isClosed ? suffix.slice(text.length) : suffix;
  return { responseIds: answered.responseIds, appendedIds: codec.encode(closing) };
}

/**
 * A message of the environment with its first tokens only.
 *
 * @param maxTokens  of the content; null cuts nothing
 */
export function shortened(codec: TextCodec, message: Message, maxTokens: number | null): Message {
  const { content } = message;
  // No token stands for less than a byte.
  if (maxTokens === null || Buffer.byteLength(content) <= maxTokens) return message;
  const ids = codec.encode(codec.quote(content, 'added'));
  if (ids.length <= maxTokens) return message;
  // The cut may go through a character, which then decodes as none.
  return cutTo(message, codec.decode(ids.slice(0, maxTokens)).replace(/\uFFFD+$/, ''));
}

/**
 * Token ids of the prompt after some exchanges. Whatever of the history the policy keeps, the ids that are returned are
 * those that the model sees, and a turn is trained on with exactly this prompt.
 *
 * @param firstIds   the first prompt
 * @param exchanges  all turns so far, in order
 */
export function promptAfter(
  codec: TextCodec,
  firstIds: readonly number[],
  exchanges: readonly Exchange[],
  history: HistoryPolicy,
): number[] {
  const kept = typeof history === 'object' ? exchanges.slice(-history.slidingWindow) : exchanges;
  if (history !== 'thinking-stripped') {
    return [...firstIds, ...kept.flatMap(({ responseIds, appendedIds }) => [...responseIds, ...appendedIds])];
  }
  let ids = [...firstIds];
  for (const { responseIds, appendedIds } of kept) {
    const begun = beginsThinking(codec, ids);
    ids = [
      ...(begun ? beforeThinking(codec, ids) : ids),
      ...withoutThinking(codec, responseIds, begun),
      ...appendedIds,
    ];
  }
  return ids;
}

/** The longest spelling of `<think>` and the line breaks after it, in tokens. */
const OPENING_TOKENS = 16;

/** Does the prompt end inside `<think>`, so that what is sampled next is thinking? */
export const beginsThinking = (codec: TextCodec, promptIds: readonly number[]): boolean =>
  endsInThinking(codec.decode(promptIds.slice(-OPENING_TOKENS)));

/** A prompt that ends inside `<think>`, without that tag: an answer whose thinking is gone follows no open one. */
function beforeThinking(codec: TextCodec, promptIds: readonly number[]): number[] {
  const opening = '<think>';
  const tail = promptIds.slice(-OPENING_TOKENS);
  const from = smallest(tail.length, (n) => !codec.decode(tail.slice(n)).includes(opening)) - 1;
  // Decoded with what stands before: some tokenizers drop a blank at the start of a text.
  const text = codec.decode(tail);
  const before = text.slice(codec.decode(tail.slice(0, from)).length, text.lastIndexOf(opening));
  return [...promptIds.slice(0, promptIds.length - tail.length + from), ...(before === '' ? [] : codec.encode(before))];
}

/**
 * A response without the thinking that it begins with and the line breaks after it, as Qwen3's template strips earlier
 * turns; any other response as it is. The ids that remain are those that were sampled; only a token that spans the cut
 * is encoded anew. A response whose thinking was cut by the token limit loses all of it.
 *
 * @param begun  the response's prompt ended inside `<think>` (`beginsThinking`)
 */
export function withoutThinking(codec: TextCodec, responseIds: readonly number[], begun = false): readonly number[] {
  const said = withoutEnd(codec, responseIds);
  const end = responseIds.slice(said.length);
  const text = codec.decode(said);
  const thinking = leadingThinking(text, begun);
  if (thinking === 0) return responseIds;
  if (!text.startsWith('</think>', thinking - '</think>'.length)) return end;
  const closed = smallest(said.length, (length) => codec.decode(said.slice(0, length)).includes('</think>'));
  let spanning = codec
    .decode(said.slice(0, closed))
    .slice(thinking)
    .replace(/^[\r\n]+/, '');
  let from = closed;
  while (spanning === '' && from < said.length) {
    const next = codec.decode([said[from]!]);
    if (!/^[\r\n]/.test(next)) break;
    spanning = next.replace(/^[\r\n]+/, '');
    from++;
  }
  return [...(spanning === '' ? [] : codec.encode(codec.quote(spanning, 'control'))), ...said.slice(from), ...end];
}

/** The smallest whole number up to `most` for which a condition holds that holds for all greater ones. */
function smallest(most: number, holds: (n: number) => boolean): number {
  let [low, high] = [0, most];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

const quoted = (codec: TextCodec, messages: readonly Message[]): Message[] =>
  messages.map((message) => ({ role: message.role, content: quotedContent(codec, message) }));

/** What the template writes after the content of an assistant message, end-of-turn token first. */
function textAfterResponse(codec: TextCodec, conversation: readonly Message[], appended: readonly Message[]): string {
  const sentinel = absentFrom([...conversation, ...appended]);
  // Of the conversation before the response nothing is encoded here.
  const before = conversation.map(({ role, content }) => ({ role, content }));
  const messages = [...before, { role: 'assistant' as const, content: sentinel }, ...quoted(codec, appended)];
  const rendered = codec.render(messages, { generationPrompt: true });
  const at = rendered.lastIndexOf(sentinel);
  if (at < 0)
    throw new TemplateUnsupported(
      'the chat template leaves out the content of an assistant message, so the next prompt cannot continue it',
    );
  const suffix = rendered.slice(at + sentinel.length);
  if (!suffix.startsWith(codec.endOfTurn.text)) {
    throw new TemplateUnsupported(
      `the chat template continues an assistant message with ${JSON.stringify(suffix.slice(0, 40))}, expected the end-of-turn token ${codec.endOfTurn.text}: ` +
        'let the template write that there, or name the token that it writes as eos_token_id in generation_config.json',
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
