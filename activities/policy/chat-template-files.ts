import { existsSync } from 'node:fs';
import path from 'node:path';
import { readTextFile } from '../text-file.js';
import { ChatTemplate, type TemplateInput } from './chat-template.js';
import { valueOfJson } from './chat-template/json.js';
import type { RenderOptions } from './policy.js';
import { ModelFileInvalid } from './weights/model-file-error.js';
import { readJson } from './weights/hugging-face.js';

/** The names under which transformers hands a tokenizer's special tokens to a template. */
const SPECIAL_TOKENS = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** Messages and options, as a codec's `render` takes them, for a template. */
export function templateInput(messages: readonly object[], options: RenderOptions): TemplateInput {
  const { generationPrompt, templateArguments = {}, now } = options;
  const { tools = null, ...others } = templateArguments;
  const named = Object.entries(others).map(([name, value]) => [name, valueOfJson(value)] as const);
  return {
    messages: messages.map(valueOfJson),
    generationPrompt,
    tools: valueOfJson(tools),
    arguments: new Map(named),
    now,
  };
}

/** A model's chat templates as one. */
export interface ChatRenderer {
  readonly render: (input: TemplateInput) => string;
  /** Names that they ask for. */
  readonly reads: ReadonlySet<string>;
}

/**
 * The chat template of a Hugging Face directory: chat_template.jinja, else what tokenizer_config.json says; of several
 * the one named tool_use where tools are given, else the default. null if it has none.
 * @throws {ModelFileInvalid} if a template is none, or uses what is not reproduced here
 */
export async function rendererOfDirectory(
  directory: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<ChatRenderer | null> {
  const special = await specialTokensOf(directory, settings);
  const file = path.join(directory, 'chat_template.jinja');
  const withinSettings = path.join(directory, 'tokenizer_config.json');
  const template = (source: string, place: string): ChatTemplate => new ChatTemplate(source, place, special);
  if (existsSync(file)) return rendererOf(template(await readTemplate(file), file));
  const given = settings['chat_template'];
  if (given === undefined || given === null) return null;
  if (typeof given === 'string') return rendererOf(template(given, withinSettings));
  const named = new Map(
    (Array.isArray(given) ? given : []).map((one: { name?: unknown; template?: unknown }) => [
      one?.name,
      one?.template,
    ]),
  );
  const [standard, forTools] = ['default', 'tool_use'].map((name) => {
    const source = named.get(name);
    return typeof source === 'string' ? template(source, `${withinSettings} (${name})`) : undefined;
  });
  if (!standard)
    throw new ModelFileInvalid(
      withinSettings,
      'has chat templates, but none is named "default"',
      'Name one so, or put it into chat_template.jinja',
    );
  const hasTools = ({ tools }: TemplateInput): boolean => tools !== null && tools !== undefined;
  return {
    render: (input) => (forTools && hasTools(input) ? forTools : standard).render(input),
    reads: new Set([...standard.reads, ...(forTools?.reads ?? [])]),
  };
}

export const rendererOf = (template: ChatTemplate): ChatRenderer => ({
  render: (input) => template.render(input),
  reads: template.reads,
});

/** Texts of the special tokens that a directory names, by name: tokenizer_config.json's, else those of special_tokens_map.json. */
export async function specialTokensOf(
  directory: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<Record<string, string>> {
  const legacy = path.join(directory, 'special_tokens_map.json');
  const older = existsSync(legacy) ? await readJson(legacy, 'Use a directory as transformers saves it') : {};
  const found: Record<string, string> = {};
  for (const name of SPECIAL_TOKENS) {
    const token = specialToken(settings[name]) || specialToken(older[name]);
    if (token !== '') found[name] = token;
  }
  return found;
}

/** A token's text, which is saved as such or as an object; '' if there is none. */
function specialToken(given: unknown): string {
  const content = typeof given === 'object' && given !== null && 'content' in given ? given.content : given;
  return typeof content === 'string' ? content : '';
}

/** As transformers reads it: a byte order mark is a part of the template. */
const readTemplate = (file: string): Promise<string> =>
  readTextFile(file, { keepMark: true }).catch((cause: Error) => {
    throw new ModelFileInvalid(file, `cannot be read (${cause.message})`, 'Save it as UTF-8');
  });
