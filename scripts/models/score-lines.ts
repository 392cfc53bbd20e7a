import { z } from 'zod';
import type { TextCodec } from '../../activities/policy/policy.js';
import { UsageError } from './command.js';

const Id = z.int().nonnegative();
const Line = z.union([
  z.strictObject({ ids: z.array(Id).min(1), from: z.int().min(1).optional() }),
  z.strictObject({ messages: z.array(z.looseObject({ role: z.string(), content: z.string() })).min(1), completion: z.string() }),
]);

/**
 * A line of input as token ids and where scoring begins; `from` left out is 1, since nothing stands before ids[0].
 * @throws {UsageError} naming the line and what is wrong with it
 */
export async function scoreLine(
  text: string,
  number: number,
  { contextLength, vocabulary }: { readonly contextLength: number; readonly vocabulary: number },
  codec: () => Promise<TextCodec>,
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
  const parsed = Line.safeParse(json);
  if (!parsed.success) return fail(`expected {"ids":[...],"from":n} with whole numbers, n from 1, or {"messages":[{"role","content"}...],"completion":"..."}; found ${text.slice(0, 80)}`);
  const { data } = parsed;
  let line: { ids: readonly number[]; from: number };
  if ('ids' in data) {
    line = { ids: data.ids, from: data.from ?? 1 };
  } else {
    const { encode, render } = await codec();
    const prompt = encode(render(data.messages, { generationPrompt: true }));
    line = { ids: [...prompt, ...encode(data.completion)], from: prompt.length };
  }
  const { ids, from } = line;
  if (from > ids.length) return fail(`from is ${from}, but there are only ${ids.length} ids`);
  if (ids.length > contextLength) return fail(`has ${ids.length} ids, but the model reads only ${contextLength}: shorten it`);
  const bad = ids.find((id) => id >= vocabulary);
  if (bad !== undefined) return fail(`token id ${bad} is outside the vocabulary of ${vocabulary}: were the ids made by this model's tokenizer?`);
  return line;
}
