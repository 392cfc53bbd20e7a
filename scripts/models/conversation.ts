import { readJson } from '../../activities/policy/chat-template/json.js';
import { Dict, type Value } from '../../activities/policy/chat-template/values.js';
import type { TemplateInput } from '../../activities/policy/chat-template.js';
import type { ModelCodec } from '../../activities/policy/text-codec.js';

/** A conversation as a person or a data set writes it; numbers keep their spelling (chat-template/json.ts). */
export type Conversation = Pick<TemplateInput, 'messages'> & {
  readonly tools: Value;
  readonly arguments: ReadonlyMap<string, Value>;
};

/** Beside `messages` in a row: as TRL's data sets and transformers' apply_chat_template name them. */
const BESIDE = ['tools', 'documents', 'chat_template_kwargs'];
/** Templates are given these in another way. */
const GIVEN = ['messages', 'tools', 'add_generation_prompt'];

/**
 * A conversation: a list of messages, or an object with `messages` and what belongs to them.
 *
 * @param also  further keys of the object, which the caller reads
 * @throws what `fail` throws, naming the message by its index, or the key that is not known
 */
export function conversationOf(
  json: Value,
  fail: (problem: string) => never,
  also: readonly string[] = [],
): Conversation {
  const row = json instanceof Dict ? json : new Dict([['messages', json]]);
  const messages = row.get('messages');
  if (!Array.isArray(messages) || messages.length === 0)
    return fail('expected [{"role":"user","content":"..."}, ...], or an object with them under "messages"');
  const known = ['messages', ...BESIDE, ...also];
  const strangers = row
    .keys()
    .map(String)
    .filter((key) => !known.includes(key));
  if (strangers.length > 0)
    fail(
      `has ${strangers.map((key) => `"${key}"`).join(', ')} beside the messages, which nothing here reads: known are ${known.join(', ')}. Leave it out, or name it in chat_template_kwargs if the chat template reads it`,
    );
  messages.forEach((message, i) => checkMessage(message, (problem) => fail(`message ${i} ${problem}`)));
  const kwargs = row.get('chat_template_kwargs') ?? null;
  const named = kwargs === null ? [] : argumentsOf(kwargs, (problem) => fail(`chat_template_kwargs: ${problem}`));
  const documents = row.get('documents') ?? null;
  return {
    messages,
    tools: toolsOf(row.get('tools') ?? null, (problem) => fail(`tools: ${problem}`)),
    arguments: new Map([...named, ...(documents === null ? [] : [['documents', documents] as const])]),
  };
}

function checkMessage(message: Value, fail: (problem: string) => never): void {
  if (!(message instanceof Dict) || typeof message.get('role') !== 'string')
    return fail('is no object with a "role": expected {"role":"user","content":"..."}');
  const content = message.get('content') ?? null;
  // An assistant that calls tools may say nothing.
  if (content === null || typeof content === 'string') return;
  if (!Array.isArray(content))
    return fail(`(${String(message.get('role'))}): its content is neither text, null, nor a list of parts`);
  for (const [i, part] of content.entries()) {
    if (part instanceof Dict && part.get('type') === 'text' && typeof part.get('text') === 'string') continue;
    const type = part instanceof Dict ? String(part.get('type')) : 'none';
    fail(
      `(${String(message.get('role'))}): part ${i} of its content is of type ${type}, and models here read text: expected {"type":"text","text":"..."}`,
    );
  }
}

function toolsOf(tools: Value, fail: (problem: string) => never): Value {
  if (tools === null || (Array.isArray(tools) && tools.every((tool) => tool instanceof Dict))) return tools;
  return fail(
    'expected a list of descriptions, [{"type":"function","function":{"name":...,"description":...,"parameters":{...}}}]',
  );
}

function argumentsOf(given: Value, fail: (problem: string) => never): [string, Value][] {
  if (!(given instanceof Dict)) return fail('expected an object, e.g. {"enable_thinking":false}');
  const reserved = given.keys().find((name) => GIVEN.includes(String(name)));
  if (reserved !== undefined) fail(`"${String(reserved)}" is given to templates by itself`);
  return given.pairs() as [string, Value][];
}

/** JSON text of an option as a value. */
export function optionValue(text: string, fail: (problem: string) => never): Value {
  try {
    return readJson(text);
  } catch (error) {
    return fail(`is no JSON (${(error as Error).message})`);
  }
}

/** What the command line gives beside the conversations; a conversation's own goes before it. */
export interface TemplateFlags {
  readonly tools: Value;
  readonly arguments: ReadonlyMap<string, Value>;
}

/** @param flags  the texts of --tools and --template-args */
export function templateFlags(
  flags: { readonly tools?: string | undefined; readonly templateArgs?: string | undefined },
  fail: (problem: string) => never,
): TemplateFlags {
  const value = (text: string | undefined, name: string): Value =>
    text === undefined ? null : optionValue(text, (problem) => fail(`${name} ${problem}`));
  const given = value(flags.templateArgs, '--template-args');
  return {
    tools: toolsOf(value(flags.tools, '--tools'), (problem) => fail(`--tools: ${problem}`)),
    arguments: new Map(given === null ? [] : argumentsOf(given, (problem) => fail(`--template-args: ${problem}`))),
  };
}

/**
 * The text of a conversation up to the beginning of an answer.
 * @throws what `fail` throws, if something is given that the model's template asks nothing of: it would be dropped in silence
 */
export function promptOf(
  codec: ModelCodec,
  conversation: Conversation,
  flags: TemplateFlags,
  fail: (problem: string) => never,
): string {
  const tools = conversation.tools ?? flags.tools;
  const named = new Map([...flags.arguments, ...conversation.arguments]);
  const unread = [...named.keys(), ...(Array.isArray(tools) && tools.length > 0 ? ['tools'] : [])].filter(
    (name) => !codec.templateReads!.has(name),
  );
  if (unread.length > 0)
    fail(
      `${unread.join(', ')}: the model's chat template asks for no such thing, so it would be dropped. Leave it out`,
    );
  return codec.renderInput({ messages: conversation.messages, tools, arguments: named, generationPrompt: true });
}
