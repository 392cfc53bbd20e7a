import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodedLines, decodeText, linesOf } from '../../activities/text-file.js';

const bytes = (...parts: (string | number[])[]) => Buffer.concat(parts.map((part) => Buffer.from(part as string)));
const BOM = [0xef, 0xbb, 0xbf];

test('a byte order mark is left out, unless it is asked for', () => {
  assert.equal(decodeText(bytes(BOM, '{}'), 'f'), '{}');
  assert.equal(decodeText(bytes(BOM, '{}'), 'f', true), '\ufeff{}');
  assert.equal(decodeText(bytes('größe \u{1f600}'), 'f'), 'größe \u{1f600}');
});

test('what is no UTF-8 is refused with the line and the byte', () => {
  const refused = (text: Buffer) => {
    try {
      return decodeText(text, 'notes.jsonl');
    } catch (error) {
      assert.equal((error as Error).name, 'NotUtf8');
      return (error as Error).message;
    }
  };
  assert.match(
    refused(bytes('a\nGr', [0xf6], 'e')),
    /^notes\.jsonl: is no UTF-8: line 2, byte 5 of the file, is 0xf6, after "Gr" \(Latin-1 or Windows-1252\?\): save it as UTF-8$/,
  );
  // The start of a character of four bytes, of which the second is missing; an end within a character; a byte order mark before it.
  assert.match(refused(bytes('\u{1f600}\r\n', [0xf0, 0x9f], 'x')), /line 2, byte 7 of the file, is 0xf0/);
  assert.match(refused(bytes('ab', [0xe2, 0x82])), /line 1, byte 3 of the file, is 0xe2/);
  assert.match(refused(bytes(BOM, 'ab', [0xff])), /line 1, byte 6 of the file, is 0xff/);
  for (const utf16 of [bytes([0xff, 0xfe], Buffer.from('{}', 'utf16le') as never), Buffer.from('{"a":1}', 'utf16le')]) {
    assert.equal(refused(utf16), 'notes.jsonl: is UTF-16 (little-endian) text, expected UTF-8: save it as UTF-8');
  }
  assert.match(refused(bytes([0xfe, 0xff, 0, 0x7b])), /is UTF-16 \(big-endian\) text/);
});

test('lines end as any system writes them', () => {
  assert.deepEqual(linesOf('a\nb\r\nc\r\r\nd\re\u2028f'), ['a', 'b', 'c', 'd', 'e\u2028f']);
});

test('the lines of a stream are decoded whole, wherever it was cut', async () => {
  const text = bytes(BOM, 'ä\r\n\nü\rö');
  const cut = async function* () {
    for (const byte of text) yield Buffer.from([byte]);
  };
  const lines = [];
  for await (const line of decodedLines(cut(), 'standard input')) lines.push(line);
  assert.deepEqual(lines, ['ä', '', 'ü', 'ö']);
  const odd = (async function* () {
    yield bytes('a\nb', [0xe4], '\n');
  })();
  await assert.rejects(
    async () => {
      for await (const _ of decodedLines(odd, 'standard input'));
    },
    { name: 'NotUtf8', message: /^standard input, line 2: is no UTF-8: line 1, byte 2/ },
  );
});
