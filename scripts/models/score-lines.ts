import { z } from 'zod';
import type { ModelCodec } from '../../activities/policy/text-codec.js';
import { readJson } from '../../activities/policy/chat-template/json.js';
import { Dict } from '../../activities/policy/chat-template/values.js';
import { UsageError } from '../cli.js';
import { conversationOf, promptOf, type TemplateFlags } from './conversation.js';

const Id = z.int().nonnegative();
const Ids = z.strictObject({ ids: z.array(Id).min(1), from: z.int().min(1).optional() });

/**
 * A line of input as token ids and where scoring begins; `from` left out is 1, since nothing stands before ids[0].
 * @throws {UsageError} naming the line and what is wrong with it
 */
export async function scoreLine(
  text: string,
  number: number,
  { contextLength, vocabulary }: { readonly contextLength: number; readonly vocabulary: number },
  codec: () => Promise<ModelCodec>,
  flags: TemplateFlags,
): Promise<{ ids: readonly number[]; from: number }> {
  const fail = (problem: string): never => {
    throw new UsageError(`line ${number}: ${problem}`);
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return fail(`is no JSON (${(error as Error).message})`);
  }
  let line: { ids: readonly number[]; from: number };
  if (typeof json === 'object' && json !== null && 'messages' in json) {
    const row = readJson(text) as Dict;
    const conversation = conversationOf(row, fail, ['completion']);
    const completion = row.get('completion');
    if (typeof completion !== 'string') return fail('lacks "completion", the text that is scored');
    const known = await codec();
    const prompt = known.encode(promptOf(known, conversation, flags, fail));
    line = { ids: [...prompt, ...known.encode(completion)], from: prompt.length };
  } else {
    const parsed = Ids.safeParse(json);
    if (!parsed.success)
      return fail(
        `expected {"ids":[...],"from":n} with whole numbers, n from 1, or {"messages":[{"role","content"}...],"completion":"..."}; found ${text.slice(0, 80)}`,
      );
    line = { ids: parsed.data.ids, from: parsed.data.from ?? 1 };
  }
  const { ids, from } = line;
  if (from > ids.length) return fail(`from is ${from}, but there are only ${ids.length} ids`);
  if (ids.length > contextLength)
    return fail(`has ${ids.length} ids, but the model reads only ${contextLength}: shorten it`);
  const bad = ids.find((id) => id >= vocabulary);
  if (bad !== undefined)
    return fail(
      `token id ${bad} is outside the vocabulary of ${vocabulary}: were the ids made by this model's tokenizer?`,
    );
  return line;
}
