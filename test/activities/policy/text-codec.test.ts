import assert from 'node:assert/strict';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, test } from 'node:test';
import fc from 'fast-check';
import type { TextCodec } from '../../../activities/policy/policy.js';
import { loadTextCodec } from '../../../activities/policy/text-codec.js';
import { openGguf } from '../../../activities/policy/weights/gguf.js';
import { modelFile } from './smollm2.js';

let codec: TextCodec;
before(async () => {
  codec = await loadTextCodec(modelFile);
});

test('ids of a chat are those that SmolLM2 was trained with: special tokens whole, digits one by one', () => {
  const text = codec.render([{ role: 'user', content: 'add 2024' }], { generationPrompt: true });
  assert.ok(text.startsWith('<|im_start|>system\nYou are a helpful AI assistant named SmolLM'));
  const ids = codec.encode('<|im_start|>user\nadd 2024<|im_end|>');
  assert.deepEqual(ids.map((id) => codec.decode([id])), ['<|im_start|>', 'user', '\n', 'add', ' ', '2', '0', '2', '4', '<|im_end|>']);
});

test('property: decoding what was encoded gives the text back', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => assert.equal(codec.decode(codec.encode(text)), text)));
});

test('the end of a turn is one token', () => {
  assert.deepEqual(codec.encode(codec.endOfTurn.text), [codec.endOfTurn.id]);
});

test('a model file that is missing, cut short or no GGUF is refused with its name, the place and the remedy', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-gguf-'));
  await assert.rejects(openGguf(path.join(folder, 'none.gguf')), { name: 'ModelFileInvalid', message: /none\.gguf: does not exist.*npm run setup/ });
  const whole = await readFile(modelFile);
  const cut = path.join(folder, 'cut.gguf');
  await writeFile(cut, whole.subarray(0, whole.length - 1000));
  await assert.rejects(openGguf(cut), { name: 'ModelFileInvalid', message: /tensor \S+ ends at byte \d+, the file at \d+: it is cut short/ });
  const garbage = path.join(folder, 'garbage.gguf');
  await writeFile(garbage, 'this is no model');
  await assert.rejects(openGguf(garbage), { name: 'ModelFileInvalid', message: /not a readable GGUF/ });
});
