import { isEndText } from './ends-of-gguf.js';

/** GGUF's token types: control tokens, which text must not spell out by accident, and whole words that are text. */
const CONTROL = 3;
const USER_DEFINED = 4;

const byteLevel = (regex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: regex,
});
const splitBy = (regex: string) => ({
  type: 'Sequence',
  pretokenizers: [{ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }, byteLevel(false)],
});
/** llama.cpp's names of pre-tokenizers -> the parts of a tokenizer.json that mean the same. */
export const preTokenizers: Readonly<
  Record<string, { readonly normalizer: unknown; readonly preTokenizer: unknown; readonly ignoreMerges?: true }>
> = {
  smollm: {
    normalizer: null,
    preTokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)] },
  },
  qwen2: {
    normalizer: { type: 'NFC' },
    preTokenizer: splitBy(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
  },
  // Held against Llama 3.2's own tokenizer.json in gguf-tokenizer.test.ts.
  'llama-bpe': {
    normalizer: null,
    preTokenizer: splitBy(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
    ignoreMerges: true,
  },
};

/**
 * The tokenizer of a GGUF file as tokenizer.json says it.
 * @param pre     a name in `preTokenizers`
 * @param tokens  texts by id
 * @param types   GGUF's types of the tokens
 * @param merges  pairs with a blank between, in their order
 */
export function tokenizerJsonOf(
  pre: string,
  tokens: readonly string[],
  types: readonly number[],
  merges: readonly string[],
): Record<string, unknown> {
  const { normalizer, preTokenizer, ignoreMerges = false } = preTokenizers[pre]!;
  // A word that merges make, as `</s>` in Qwen's vocabulary, is one by itself, whatever llama.cpp ends at.
  const words = new Set(merges.map((merge) => merge.replace(' ', '')));
  const added = tokens.flatMap((content, id) => {
    const control = types[id] === CONTROL || (isEndText(content) && !words.has(content));
    return control || types[id] === USER_DEFINED
      ? [{ id, content, special: control, single_word: false, lstrip: false, rstrip: false, normalized: false }]
      : [];
  });
  // Where a whole word that is a token goes before merges, the vocabulary is that of words alone.
  const apart = new Set(ignoreMerges ? added.map(({ id }) => id) : []);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer,
    pre_tokenizer: preTokenizer,
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
      ignore_merges: ignoreMerges,
      vocab: Object.fromEntries(tokens.flatMap((token, id) => (apart.has(id) ? [] : [[token, id]]))),
      merges: merges.map((merge) => merge.split(' ')),
    },
  };
}
