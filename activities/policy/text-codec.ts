import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Tokenizer } from '@huggingface/tokenizers';
import { ChatTemplate, type TemplateInput } from './chat-template.js';
import {
  rendererOf,
  rendererOfDirectory,
  specialTokensOf,
  templateInput,
  type ChatRenderer,
} from './chat-template-files.js';
import { endTokensOf, type EndTokens } from './end-tokens.js';
import { checkId, endIdsOfSettings } from './ends-of-directory.js';
import { endTokensOfGguf } from './ends-of-gguf.js';
import { textAfterAnswer } from './ends-of-template.js';
import { preTokenizers, tokenizerJsonOf } from './gguf-tokenizer.js';
import type { ModelShape } from './model-config.js';
import type { TextCodec } from './policy.js';
import { isQuoted, piecesOf, quoted, type AddedToken } from './quoted-text.js';
import { openTokenizer } from './tokenizer/open-tokenizer.js';
import { ModelFileInvalid } from './weights/model-file-error.js';
import { readGgufHeader } from './weights/gguf-header.js';
import { readHuggingFaceConfig, readJson } from './weights/hugging-face.js';

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

/**
 * Tokens that end a response, of models without a tokenizer too; none if nothing says it, and then no token does.
 * @throws {ModelFileInvalid} if what says it is no token of the model
 */
export async function endIdsOf(model: string): Promise<ReadonlySet<number>> {
  if (!(await isDirectory(model))) {
    // Ids are scored with a tokenizer that we do not have, too.
    const { metadata, config } = await readGgufHeader(model);
    return new Set(endTokensOfGguf(model, metadata, config.vocabulary)?.ends.keys());
  }
  if (existsSync(path.join(model, 'tokenizer.json'))) return new Set((await loadTextCodec(model)).ends.keys());
  const { vocabulary } = await readHuggingFaceConfig(model, 'any');
  return new Set(await endIdsOfSettings(model, vocabulary));
}

const DIRECTORY = 'Use a directory as transformers saves it';
const isDirectory = (model: string): Promise<boolean> =>
  stat(model).then(
    (found) => found.isDirectory(),
    () => false,
  );

async function codecOfDirectory(directory: string): Promise<ModelCodec> {
  const file = path.join(directory, 'tokenizer.json');
  // Whether the weights are computed rightly is for their reader to say.
  const { vocabulary, contextLength } = await readHuggingFaceConfig(directory, 'any');
  const tokenizerJson = await readJson(
    file,
    'Text needs tokenizer.json; a slow tokenizer is converted by transformers',
  );
  const settings = await optionalJson(path.join(directory, 'tokenizer_config.json'));
  const tokenizer = openTokenizer(tokenizerJson, file);
  const template = await rendererOfDirectory(directory, settings);
  const renderInput: ModelCodec['renderInput'] = (input) => {
    if (!template)
      throw new ModelFileInvalid(
        directory,
        'has no chat template',
        'Use an instruct model, or add chat_template.jinja',
      );
    return template.render(input);
  };
  const tokenizerSettings = path.join(directory, 'tokenizer_config.json');
  const textOf = (id: number): string =>
    tokenizer.decode([id], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  const { eos_token: eosText = '' } = await specialTokensOf(directory, settings);
  const eos = eosText === '' ? undefined : tokenizer.token_to_id(eosText);
  if (eos !== undefined) checkId(tokenizerSettings, `eos_token ${eosText}, which is token`, eos, vocabulary);
  const ids = new Set([...(await endIdsOfSettings(directory, vocabulary)), ...(eos === undefined ? [] : [eos])]);
  const named = [...ids].map((id) => ({ id, text: textOf(id) }));
  const added = (tokenizerJson['added_tokens'] ?? []) as AddedToken[];
  const control = added
    .filter((token) => token.special && token.id < vocabulary)
    .map(({ id, content: text }) => ({ id, text }));
  const ends = endTokensOf(named, control, template && textAfterAnswer(template.render));
  if (ends === null)
    throw new ModelFileInvalid(tokenizerSettings, 'names no eos_token that the tokenizer knows', DIRECTORY);
  return codecOf(
    { tokenizer, json: tokenizerJson, file },
    ends,
    { render: renderInput, reads: template?.reads ?? new Set() },
    contextLength,
    vocabulary,
  );
}

const optionalJson = async (file: string): Promise<Record<string, unknown>> =>
  existsSync(file) ? readJson(file, DIRECTORY) : {};

/** A tokenizer and what it was made of. */
interface LoadedTokenizer {
  readonly tokenizer: Tokenizer;
  readonly json: Record<string, unknown>;
  readonly file: string;
}

function codecOf(
  { tokenizer, json, file }: LoadedTokenizer,
  ends: EndTokens,
  { render: renderInput, reads }: ChatRenderer,
  contextLength: number,
  vocabularySize: number,
): ModelCodec {
  const added = (json['added_tokens'] ?? []) as AddedToken[];
  const control = added.filter(({ special }) => special);
  const idsOf = (by: Tokenizer, text: string): number[] => [...by.encode(text, { add_special_tokens: false }).ids];
  let plain: Tokenizer | undefined;
  /** Between tokens: knows none of them, so that text that spells one out is text. */
  const plainIds = (text: string): number[] =>
    idsOf((plain ??= openTokenizer({ ...json, added_tokens: [] }, file)), text);
  return {
    encode: (text) =>
      isQuoted(text)
        ? piecesOf(text, added).flatMap((piece) => (typeof piece === 'number' ? [piece] : plainIds(piece)))
        : idsOf(tokenizer, text),
    quote: (text, tokens) => quoted(text, tokens === 'added' ? added : control),
    // The library refuses to decode nothing, but a response may be nothing but its end.
    decode: (ids) =>
      ids.length === 0
        ? ''
        : tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
    ...ends,
    render: (messages, options) => renderInput(templateInput(messages, options)),
    renderInput,
    templateReads: reads,
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
  ends: EndTokens;
  /** Text of the token that the file calls eos; '' without one. */
  eosText: string;
  /** What templates write at the start of a text; empty if the file names none. */
  bosToken: string;
  chatTemplate: string;
  config: ModelShape;
}> {
  const { metadata, config } = await readGgufHeader(file);
  const field = <T>(key: string): T => {
    const value = metadata[`tokenizer.${key}`];
    if (value === undefined)
      throw new ModelFileInvalid(
        file,
        `lacks tokenizer.${key}`,
        'Use a file that carries its tokenizer and chat template',
      );
    return value as T;
  };
  const pre = (metadata['tokenizer.ggml.pre'] as string | undefined) ?? 'default';
  if (field<string>('ggml.model') !== 'gpt2' || !Object.hasOwn(preTokenizers, pre)) {
    throw new ModelFileInvalid(
      file,
      `has tokenizer ${field<string>('ggml.model')}/${pre}, known are ${Object.keys(preTokenizers)
        .map((name) => `gpt2/${name}`)
        .join(', ')}`,
      'Only ids of such a file are scored; for text use the Hugging Face directory of the same model, whose tokenizer.json is read',
    );
  }
  const tokens = field<string[]>('ggml.tokens');
  const startId = metadata['tokenizer.ggml.bos_token_id'];
  const bosToken = startId === undefined ? '' : tokens[Number(startId)];
  if (bosToken === undefined)
    throw new ModelFileInvalid(
      file,
      `has tokenizer.ggml.bos_token_id ${startId}, but only ${tokens.length} tokens`,
      'Convert the model again with llama.cpp',
    );
  const chatTemplate = field<string>('chat_template');
  const ends = endTokensOfGguf(file, metadata, config.vocabulary);
  if (ends === null)
    throw new ModelFileInvalid(
      file,
      'lacks tokenizer.ggml.eos_token_id, and no other token ends a generation',
      'Convert the model again with llama.cpp',
    );
  return {
    tokenizer: tokenizerJsonOf(pre, tokens, field<number[]>('ggml.token_type'), field<string[]>('ggml.merges')),
    ends,
    eosText: tokens[Number(metadata['tokenizer.ggml.eos_token_id'] ?? -1)] ?? '',
    bosToken,
    chatTemplate,
    config,
  };
}

async function codecOfGguf(file: string): Promise<ModelCodec> {
  const { tokenizer, ends, eosText, bosToken, chatTemplate, config } = await tokenizerOfGguf(file);
  const special = { ...(bosToken !== '' && { bos_token: bosToken }), ...(eosText !== '' && { eos_token: eosText }) };
  return codecOf(
    { tokenizer: openTokenizer(tokenizer, file), json: tokenizer, file },
    ends,
    rendererOf(new ChatTemplate(chatTemplate, file, special)),
    config.contextLength,
    config.vocabulary,
  );
}
