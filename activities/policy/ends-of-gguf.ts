import { ChatTemplate } from './chat-template.js';
import { rendererOf } from './chat-template-files.js';
import { endTokensOf, type EndTokens, type NamedToken } from './end-tokens.js';
import { checkId } from './ends-of-directory.js';
import { textAfterAnswer } from './ends-of-template.js';
import { ModelFileInvalid } from './weights/model-file-error.js';

/** Tokens at which llama.cpp ends a generation by their text, whatever type the file gives them (src/llama-vocab.cpp of 2026, 00ad355e). */
const texts: ReadonlySet<string> = new Set([
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|im_end|>',
  '<|endoftext|>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
  '<|calls|>',
  '<|flush|>',
  '<end_of_turn>',
  '<eos>',
  '<turn|>',
  '<|tool_response>',
  '</s>',
  '<EOT>',
  '_<EOT>',
  '[EOT]',
  '[EOS]',
  '<end_of_utterance>',
  '<\uff5cend\u2581of\u2581sentence\uff5c>',
  '[e~[',
]);
/** Marks of fill-in-the-middle that end one too: padding, the next repository, the next file; texts count where the file names no id. */
const fillInTheMiddle: readonly (readonly [key: string, texts: readonly string[]])[] = [
  ['fim_pad_token_id', ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]']],
  ['fim_rep_token_id', ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>']],
  ['fim_sep_token_id', ['<|file_sep|>']],
];
/** Ends by id, the one that closes turns first if the template does not say it. */
const KEYS = ['eos_token_id', 'eot_token_id', 'eom_token_id'];

/** Control tokens in effect: llama.cpp takes these texts for such, though a conversion may have missed it. */
export const isEndText = (text: string): boolean => texts.has(text);

/**
 * Ends of a generation that a GGUF file names, by id and by what llama.cpp concludes from texts.
 *
 * @param metadata    with keys `tokenizer.ggml.*`
 * @param tokens      texts by id; empty if the file has none
 * @param vocabulary  how many tokens the model has
 * @throws {ModelFileInvalid} if an id is none of the vocabulary
 */
export function endsOfGguf(
  file: string,
  metadata: Readonly<Record<string, unknown>>,
  tokens: readonly string[],
  vocabulary: number,
): NamedToken[] {
  const given = (key: string): unknown => metadata[`tokenizer.ggml.${key}`] ?? undefined;
  const byId = KEYS.flatMap((key) => {
    const id = given(key);
    if (id === undefined) return [];
    if (typeof id !== 'number' && typeof id !== 'bigint') {
      throw new ModelFileInvalid(
        file,
        `has tokenizer.ggml.${key} = ${JSON.stringify(id)}, expected a token id`,
        'Convert the model again',
      );
    }
    checkId(file, `tokenizer.ggml.${key}`, Number(id), vocabulary);
    return [Number(id)];
  });
  const idsOf = (wanted: (text: string) => boolean): number[] =>
    tokens.flatMap((text, id) => (wanted(text) ? [id] : []));
  const middle = fillInTheMiddle.flatMap(([key, marks]) => {
    const id = Number(given(key) ?? -1);
    return id >= 0 && id < vocabulary ? [id] : idsOf((text) => marks.includes(text));
  });
  const ids = [...new Set([...byId, ...idsOf(isEndText), ...middle])];
  return withoutMessageEnds(ids.map((id) => ({ id, text: tokens[id] ?? '' })));
}

/** Where a vocabulary has the ends of a later format, `<|end|>` ends a message within an answer, and `</s>` nothing. */
function withoutMessageEnds(ends: NamedToken[]): NamedToken[] {
  const has = (...wanted: string[]): boolean => ends.some(({ text }) => wanted.includes(text));
  const calls = has('<|call|>', '<|calls|>');
  const dropped = [
    ...(calls && has('<|return|>', '<|flush|>') ? ['<|end|>'] : []),
    ...(has('<|tool_response>') ? ['</s>'] : []),
  ];
  return ends.filter(({ text }) => !dropped.includes(text));
}

/** GGUF's type of control tokens. */
const CONTROL = 3;

/**
 * What ends a response by the metadata of a GGUF file, of any tokenizer; null if nothing says it.
 * @throws {ModelFileInvalid} as `endsOfGguf`
 */
export function endTokensOfGguf(
  file: string,
  metadata: Readonly<Record<string, unknown>>,
  vocabulary: number,
): EndTokens | null {
  const tokens = (metadata['tokenizer.ggml.tokens'] as string[] | undefined) ?? [];
  const types = (metadata['tokenizer.ggml.token_type'] as number[] | undefined) ?? [];
  const control = tokens.flatMap((text, id) => (types[id] === CONTROL || isEndText(text) ? [{ id, text }] : []));
  const named = endsOfGguf(file, metadata, tokens, tokens.length || vocabulary);
  return endTokensOf(named, control, textAfterAnswerOfGguf(file, metadata, tokens));
}

function textAfterAnswerOfGguf(
  file: string,
  metadata: Readonly<Record<string, unknown>>,
  tokens: readonly string[],
): string | null {
  const template = metadata['tokenizer.chat_template'];
  if (typeof template !== 'string') return null;
  const special = ['bos_token', 'eos_token'].flatMap((name) => {
    const text = tokens[Number(metadata[`tokenizer.ggml.${name}_id`] ?? -1)];
    return text ? [[name, text]] : [];
  });
  try {
    return textAfterAnswer(rendererOf(new ChatTemplate(template, file, Object.fromEntries(special))).render);
  } catch (error) {
    // A template that is refused matters to text alone, and is refused there.
    if (error instanceof ModelFileInvalid) return null;
    throw error;
  }
}
