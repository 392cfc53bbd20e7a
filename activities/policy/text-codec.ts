import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { ChatTemplate, type TemplateInput } from './chat-template.js';
import { rendererOf, rendererOfDirectory, specialToken, templateInput } from './chat-template-files.js';
import type { ModelConfig } from './model-config.js';
import type { TextCodec } from './policy.js';
import { isQuoted, piecesOf, quoted, type AddedToken } from './quoted-text.js';
import { ModelFileInvalid } from './weights/model-file-error.js';
import { readGgufHeader } from './weights/gguf-header.js';
import { readHuggingFaceConfig, readJson } from './weights/hugging-face.js';

/** GGUF's token types: control tokens, which text must not spell out by accident, and whole words that are text. */
const CONTROL = 3;
const USER_DEFINED = 4;

const byteLevel = (regex: boolean) => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: regex });
const splitBy = (regex: string) => ({
  type: 'Sequence',
  pretokenizers: [{ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }, byteLevel(false)],
});
/** llama.cpp's names of pre-tokenizers -> the parts of a tokenizer.json that mean the same. */
const preTokenizers: Readonly<Record<string, { readonly normalizer: unknown; readonly preTokenizer: unknown }>> = {
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
};

/** A codec that also renders Python's values, where numbers must keep their spelling (chat-template/json.ts). */
export interface ModelCodec extends TextCodec {
  readonly renderInput: (input: TemplateInput) => string;
}

/**
 * Tokenizer and chat template of a model: out of a GGUF file, or of a Hugging Face directory.
 * @throws {ModelFileInvalid} if the tokenizer is not there or not one we reproduce exactly
 */
export async function loadTextCodec(model: string): Promise<ModelCodec> {
  return (await isDirectory(model)) ? codecOfDirectory(model) : codecOfGguf(model);
}

/** The token that ends a response, of models without a tokenizer too; -1 if nothing says it, and then no token does. */
export async function endOfTurnIdOf(model: string): Promise<number> {
  // Ids are scored with a tokenizer that we do not have, too.
  if (!(await isDirectory(model))) return Number((await readGgufHeader(model)).metadata['tokenizer.ggml.eos_token_id'] ?? -1);
  if (existsSync(path.join(model, 'tokenizer.json'))) return (await loadTextCodec(model)).endOfTurn.id;
  for (const name of ['generation_config.json', 'config.json']) {
    const file = path.join(model, name);
    const id = existsSync(file) ? [(await readJson(file, DIRECTORY))['eos_token_id']].flat()[0] : undefined;
    if (typeof id === 'number') return id;
  }
  return -1;
}

const DIRECTORY = 'Use a directory as transformers saves it';
const isDirectory = (model: string): Promise<boolean> => stat(model).then((found) => found.isDirectory(), () => false);

async function codecOfDirectory(directory: string): Promise<ModelCodec> {
  const file = path.join(directory, 'tokenizer.json');
  const { vocabulary, contextLength } = await readHuggingFaceConfig(directory);
  const tokenizerJson = await readJson(file, 'Text needs tokenizer.json; a slow tokenizer is converted by transformers');
  const settings = await optionalJson(path.join(directory, 'tokenizer_config.json'));
  const generation = await optionalJson(path.join(directory, 'generation_config.json'));
  const tokenizer = new Tokenizer(tokenizerJson as never, settings as never);
  const special = (key: string): string => specialToken(settings[key]);
  const template = await rendererOfDirectory(directory, settings);
  const renderInput: ModelCodec['renderInput'] = (input) => {
    if (!template) throw new ModelFileInvalid(directory, 'has no chat template', 'Use an instruct model, or add chat_template.jinja');
    return template(input);
  };
  const textOf = (id: number): string => tokenizer.decode([id], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  const endings = [...[generation['eos_token_id'] ?? []].flat().map((id) => textOf(id as number)), special('eos_token')].filter((text) => text !== '');
  const text = (template && endingOf(template, endings)) ?? special('eos_token');
  const id = text === '' ? undefined : tokenizer.token_to_id(text);
  if (id === undefined) throw new ModelFileInvalid(path.join(directory, 'tokenizer_config.json'), 'names no eos_token that the tokenizer knows', DIRECTORY);
  return codecOf({ tokenizer, json: tokenizerJson, settings }, { id, text }, renderInput, contextLength, vocabulary);
}

/**
 * What ends a turn: of the tokens that end a generation, the one that the template writes first after an answer.
 * Models name several, as `<|im_end|>` and `<|endoftext|>`.
 */
function endingOf(render: ModelCodec['renderInput'], endings: readonly string[]): string | undefined {
  const answer = 'An answer.';
  const exchange = [{ role: 'user', content: 'A question.' }, { role: 'assistant', content: answer }];
  // Templates may insist on a system message first, or refuse one.
  const text = firstRendered(render, [exchange, [{ role: 'system', content: 'A rule.' }, ...exchange]]);
  if (text === undefined) return undefined;
  const after = text.slice(text.lastIndexOf(answer) + answer.length);
  const at = (ending: string): number => (after.includes(ending) ? after.indexOf(ending) : Infinity);
  return endings.filter((ending) => at(ending) < Infinity).sort((a, b) => at(a) - at(b))[0];
}

/** Text of the first conversation that the template takes; what it raises is told where somebody's own conversation is rendered. */
function firstRendered(render: ModelCodec['renderInput'], conversations: readonly object[][]): string | undefined {
  for (const conversation of conversations) {
    try {
      return render(templateInput(conversation, { generationPrompt: false }));
    } catch (error) {
      if (!(error instanceof ModelFileInvalid)) throw error;
    }
  }
  return undefined;
}

const optionalJson = async (file: string): Promise<Record<string, unknown>> => (existsSync(file) ? readJson(file, DIRECTORY) : {});

/** A tokenizer and the files that it was made of. */
interface LoadedTokenizer {
  readonly tokenizer: Tokenizer;
  readonly json: Record<string, unknown>;
  readonly settings: Record<string, unknown>;
}

function codecOf({ tokenizer, json, settings }: LoadedTokenizer, endOfTurn: TextCodec['endOfTurn'], renderInput: ModelCodec['renderInput'], contextLength: number, vocabularySize: number): ModelCodec {
  const added = (json['added_tokens'] ?? []) as AddedToken[];
  const control = added.filter(({ special }) => special);
  const idsOf = (by: Tokenizer, text: string): number[] => [...by.encode(text, { add_special_tokens: false }).ids];
  let plain: Tokenizer | undefined;
  /** Between tokens: knows none of them, so that text that spells one out is text. */
  const plainIds = (text: string): number[] => idsOf((plain ??= new Tokenizer({ ...json, added_tokens: [] } as never, { ...settings, added_tokens_decoder: {} } as never)), text);
  return {
    encode: (text) => (isQuoted(text) ? piecesOf(text, added).flatMap((piece) => (typeof piece === 'number' ? [piece] : plainIds(piece))) : idsOf(tokenizer, text)),
    quote: (text, tokens) => quoted(text, tokens === 'added' ? added : control),
    // The library refuses to decode nothing, but a response may be nothing but its end.
    decode: (ids) => (ids.length === 0 ? '' : tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false })),
    endOfTurn,
    render: (messages, options) => renderInput(templateInput(messages, options)),
    renderInput,
    contextLength,
    vocabularySize,
  };
}

/**
 * The tokenizer of a GGUF file as the files of a Hugging Face directory say it.
 * @throws {ModelFileInvalid} if it is not one we reproduce exactly
 */
export async function tokenizerOfGguf(file: string): Promise<{
  tokenizer: Record<string, unknown>;
  endOfTurn: TextCodec['endOfTurn'];
  /** What templates write at the start of a text; empty if the file names none. */
  bosToken: string;
  chatTemplate: string;
  config: ModelConfig;
}> {
  const { metadata, config } = await readGgufHeader(file);
  const field = <T>(key: string): T => {
    const value = metadata[`tokenizer.${key}`];
    if (value === undefined) throw new ModelFileInvalid(file, `lacks tokenizer.${key}`, 'Use a file that carries its tokenizer and chat template');
    return value as T;
  };
  const pre = (metadata['tokenizer.ggml.pre'] as string | undefined) ?? 'default';
  if (field<string>('ggml.model') !== 'gpt2' || !Object.hasOwn(preTokenizers, pre)) {
    throw new ModelFileInvalid(
      file,
      `has tokenizer ${field<string>('ggml.model')}/${pre}, known are ${Object.keys(preTokenizers).map((name) => `gpt2/${name}`).join(', ')}`,
      'Only ids of such a file are scored; for text use the Hugging Face directory of the same model, whose tokenizer.json is read',
    );
  }
  const tokens = field<string[]>('ggml.tokens');
  const types = field<number[]>('ggml.token_type');
  const special = tokens.flatMap((content, id) =>
    types[id] === CONTROL || types[id] === USER_DEFINED
      ? [{ id, content, special: types[id] === CONTROL, single_word: false, lstrip: false, rstrip: false, normalized: false }]
      : [],
  );
  const endId = Number(field<number>('ggml.eos_token_id'));
  const startId = metadata['tokenizer.ggml.bos_token_id'];
  const bosToken = startId === undefined ? '' : tokens[Number(startId)];
  if (bosToken === undefined) throw new ModelFileInvalid(file, `has tokenizer.ggml.bos_token_id ${startId}, but only ${tokens.length} tokens`, 'Convert the model again with llama.cpp');
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: special,
      normalizer: preTokenizers[pre]!.normalizer,
      pre_tokenizer: preTokenizers[pre]!.preTokenizer,
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
    endOfTurn: { id: endId, text: tokens[endId]! },
    bosToken,
    chatTemplate: field<string>('chat_template'),
    config,
  };
}

async function codecOfGguf(file: string): Promise<ModelCodec> {
  const { tokenizer, endOfTurn, bosToken, chatTemplate, config } = await tokenizerOfGguf(file);
  const special = { ...(bosToken !== '' && { bos_token: bosToken }), eos_token: endOfTurn.text };
  const settings = { clean_up_tokenization_spaces: false };
  return codecOf(
    { tokenizer: new Tokenizer(tokenizer as never, settings), json: tokenizer, settings },
    endOfTurn,
    rendererOf(new ChatTemplate(chatTemplate, file, special)),
    config.contextLength,
    config.vocabulary,
  );
}
