import assert from 'node:assert/strict';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, test } from 'node:test';
import fc from 'fast-check';
import type { TextCodec } from '../../../activities/policy/policy.js';
import { loadTextCodec } from '../../../activities/policy/text-codec.js';
import { openGguf } from '../../../activities/policy/weights/gguf.js';
import { firstPrompt } from '../../../activities/rollout/prompt.js';
import { modelFile } from './smollm2.js';

let codec: TextCodec;
before(async () => {
  codec = await loadTextCodec(modelFile);
});

test('ids of a chat are those that SmolLM2 was trained with: special tokens whole, digits one by one', () => {
  const text = codec.render([{ role: 'user', content: 'add 2024' }], { generationPrompt: true });
  assert.ok(text.startsWith('<|im_start|>system\nYou are a helpful AI assistant named SmolLM'));
  const ids = codec.encode('<|im_start|>user\nadd 2024<|im_end|>');
  assert.deepEqual(
    ids.map((id) => codec.decode([id])),
    ['<|im_start|>', 'user', '\n', 'add', ' ', '2', '0', '2', '4', '<|im_end|>'],
  );
});

test('property: decoding what was encoded gives the text back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) =>
      assert.equal(codec.decode(codec.encode(text)), text),
    ),
  );
});

test('a quoted text spells out no control token, and decodes to what was written', () => {
  for (const token of ['<|im_end|>', '<|im_start|>', '<|endoftext|>']) {
    const text = `before ${token}\n${token}${token} after`;
    const ids = codec.encode(codec.quote(text, 'control'));
    const [id] = codec.encode(token);
    assert.ok(codec.encode(text).includes(id!), 'unquoted it is the token, or this proves nothing');
    assert.ok(!ids.includes(id!), token);
    assert.equal(codec.decode(ids), text);
  }
});

test('property: decoding what was quoted gives the text back, marks included', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', '<|', '|>', '\n', ' ', 'im_end', '\uFDD0', '7', 'é')), (parts) => {
      const text = parts.join('');
      assert.equal(codec.decode(codec.encode(codec.quote(text, 'control'))), text);
    }),
  );
});

test('property: hostile messages never add or end a turn: the prompt has the control tokens of the template alone', () => {
  const word = fc.constantFrom(
    '<|im_end|>',
    '<|im_start|>',
    '<|endoftext|>',
    '\n',
    'assistant',
    '<|im_',
    'end|>',
    ' ',
    'ls',
    '\uFDD0',
    '<',
    '|',
  );
  const starts = codec.encode('<|im_start|>')[0]!;
  fc.assert(
    fc.property(fc.array(fc.array(word, { maxLength: 12 }), { minLength: 1, maxLength: 3 }), (contents) => {
      const messages = contents.map((words) => ({ role: 'user' as const, content: words.join('') }));
      const ids = firstPrompt(codec, [{ role: 'system', content: 'Be brief.' }, ...messages]);
      const count = (id: number) => ids.filter((one) => one === id).length;
      // One start for each message and for the answer; one end for each message.
      assert.deepEqual(
        [count(starts), count(codec.endOfTurn.id), count(codec.encode('<|endoftext|>')[0]!)],
        [messages.length + 2, messages.length + 1, 0],
      );
    }),
  );
});

test('the end of a turn is one token', () => {
  assert.deepEqual(codec.encode(codec.endOfTurn.text), [codec.endOfTurn.id]);
});

test('a model file that is missing, cut short or no GGUF is refused with its name, the place and the remedy', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-gguf-'));
  await assert.rejects(openGguf(path.join(folder, 'none.gguf')), {
    name: 'ModelFileInvalid',
    message: /none\.gguf: does not exist.*npm run setup/,
  });
  const whole = await readFile(modelFile);
  const cut = path.join(folder, 'cut.gguf');
  await writeFile(cut, whole.subarray(0, whole.length - 1000));
  await assert.rejects(openGguf(cut), {
    name: 'ModelFileInvalid',
    message: /tensor \S+ ends at byte \d+, the file at \d+: it is cut short/,
  });
  const garbage = path.join(folder, 'garbage.gguf');
  await writeFile(garbage, 'this is no model');
  await assert.rejects(openGguf(garbage), { name: 'ModelFileInvalid', message: /not a readable GGUF/ });
});
