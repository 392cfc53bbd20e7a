import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import type { TextCodec } from './policy.js';
import { ModelFileInvalid } from './weights/model-file-error.js';
import { readGgufHeader } from './weights/gguf.js';

/** GGUF's token type for tokens that text must not spell out by accident. */
const CONTROL = 3;

/** llama.cpp's names of pre-tokenizers -> the tokenizer.json that means the same. */
const preTokenizers: Readonly<Record<string, unknown>> = {
  smollm: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Digits', individual_digits: true },
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    ],
  },
};

/**
 * Tokenizer and chat template out of a GGUF file.
 * @throws {ModelFileInvalid} if the file's tokenizer is not one we reproduce exactly
 */
export async function loadTextCodec(file: string): Promise<TextCodec> {
  const { metadata, config } = await readGgufHeader(file);
  const field = <T>(key: string): T => {
    const value = metadata[`tokenizer.${key}`];
    if (value === undefined) throw new ModelFileInvalid(file, `lacks tokenizer.${key}`, 'Use a file that carries its tokenizer and chat template');
    return value as T;
  };
  const pre = field<string>('ggml.pre');
  if (field<string>('ggml.model') !== 'gpt2' || !(pre in preTokenizers)) {
    throw new ModelFileInvalid(
      file,
      `has tokenizer ${field<string>('ggml.model')}/${pre}, known are ${Object.keys(preTokenizers).map((name) => `gpt2/${name}`).join(', ')}`,
      'Use a model with one of these, or one that ships tokenizer.json',
    );
  }
  const tokens = field<string[]>('ggml.tokens');
  const types = field<number[]>('ggml.token_type');
  const special = tokens.flatMap((content, id) =>
    types[id] === CONTROL
      ? [{ id, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }]
      : [],
  );
  const tokenizer = new Tokenizer(
    {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: special,
      normalizer: null,
      pre_tokenizer: preTokenizers[pre],
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: field<string[]>('ggml.merges').map((merge) => merge.split(' ')),
      },
    },
    { clean_up_tokenization_spaces: false },
  );
  const template = new Template(field<string>('chat_template'));
  const endId = Number(field<number>('ggml.eos_token_id'));
  return {
    encode: (text) => [...tokenizer.encode(text, { add_special_tokens: false }).ids],
    // The library refuses to decode nothing, but a response may be nothing but its end.
    decode: (ids) => (ids.length === 0 ? '' : tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false })),
    endOfTurn: { id: endId, text: tokens[endId]! },
    render: (messages, { generationPrompt }) =>
      template.render({ messages: messages as never, add_generation_prompt: generationPrompt, bos_token: '', eos_token: tokens[endId]! }),
    contextLength: config.contextLength,
    vocabularySize: tokens.length,
  };
}
