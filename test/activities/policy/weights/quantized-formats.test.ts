import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ggmlFormats, ggmlName } from '../../../../activities/policy/weights/quantized.js';
import { tinyFolder } from '../tiny-models.js';

/** Oracle: dequantize of the gguf package (fixtures/make_quantized.py). */
const formats = JSON.parse(readFileSync(path.join(tinyFolder, 'quantized.json'), 'utf8')) as Record<
  string,
  { type: number; bytes: string; values: number[] }
>;

for (const [name, { type, bytes, values }] of Object.entries(formats)) {
  test(`${name}: whole blocks of random bits widen to the very numbers of the gguf package`, () => {
    const out = new Float32Array(values.length);
    const raw = new Uint8Array(Buffer.from(bytes, 'base64'));
    const format = ggmlFormats.get(type)!;
    assert.equal(format.name, name);
    assert.equal((values.length / format.blockWeights) * format.blockBytes, raw.length);
    format.widen(new DataView(raw.buffer, raw.byteOffset, raw.length), out);
    assert.deepEqual([...out], values);
  });
}

test("every GGML type that the gguf package knows has its name in messages, and what is read is under the package's number", () => {
  const types = JSON.parse(readFileSync(path.join(tinyFolder, 'ggml-types.json'), 'utf8')) as Record<string, number>;
  for (const [name, type] of Object.entries(types)) assert.equal(ggmlName(type), name);
  for (const [type, { name }] of ggmlFormats) assert.equal(types[name], type);
  assert.equal(ggmlName(9999), 'type 9999');
});
