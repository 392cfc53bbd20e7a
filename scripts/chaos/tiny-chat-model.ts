import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { repositoryRoot } from '../setup/paths.js';

/** Random weights that transformers made; tests compare with its figures. */
const WEIGHTS = path.join(repositoryRoot, 'test/activities/policy/fixtures/tiny/llama-tied');

const SPECIAL = ['<pad>', '<|im_start|>', '<|im_end|>'];
const TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/**
 * A random model of 128 tokens that can chat: one token per byte. It takes milliseconds where a real one
 * takes seconds, so what is tested with it is everything around a model, not the model.
 *
 * @returns its name below `modelsDir`
 */
export async function writeTinyChatModel(modelsDir: string): Promise<string> {
  const folder = path.join(modelsDir, 'tiny-chat');
  await mkdir(folder, { recursive: true });
  await cp(path.join(WEIGHTS, 'model.safetensors'), path.join(folder, 'model.safetensors'));
  const json = (name: string, content: unknown) => writeFile(path.join(folder, name), JSON.stringify(content));
  const config = JSON.parse(await readFile(path.join(WEIGHTS, 'config.json'), 'utf8')) as object;
  await json('config.json', { ...config, max_position_embeddings: 2048 });
  await json('generation_config.json', { eos_token_id: SPECIAL.indexOf('<|im_end|>') });
  await json('tokenizer.json', {
    version: '1.0',
    added_tokens: SPECIAL.map((content, id) => ({
      id,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries([...SPECIAL, ...byteCharacters()].map((token, id) => [token, id])),
      merges: [],
    },
  });
  await json('tokenizer_config.json', { eos_token: '<|im_end|>', chat_template: TEMPLATE });
  return 'tiny-chat';
}

/** As byte-level BPE writes bytes: printable ASCII as it is, blank and line end as letters of their own, and some bytes that are no text. */
function byteCharacters(): string[] {
  const range = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, n) => String.fromCodePoint(from + n));
  return [...range(33, 126), '\u0120', '\u010a', ...range(161, 172), ...range(174, 190)];
}
