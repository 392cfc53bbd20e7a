import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ggmlFormats } from '../../../../activities/policy/weights/quantized.js';
import { halfToNumber } from '../../../../activities/policy/weights/stored-format.js';

test('half precision: 1, -2, the largest, the smallest subnormal, infinity', () => {
  assert.deepEqual([0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00].map(halfToNumber), [1, -2, 65504, 2 ** -24, Infinity]);
});

test('Q4_1: low nibbles are the first 16 weights, high nibbles the next; each is q * scale + minimum', () => {
  const bytes = new Uint8Array(20);
  new DataView(bytes.buffer).setUint16(0, 0x3800, true); // scale 0.5
  new DataView(bytes.buffer).setUint16(2, 0xbc00, true); // minimum -1
  bytes[4] = 0xf2; // weight 0: 2 * 0.5 - 1 = 0; weight 16: 15 * 0.5 - 1 = 6.5
  const out = new Float32Array(32);
  ggmlFormats.get(3)!.widen(new DataView(bytes.buffer), out);
  assert.equal(out[0], 0);
  assert.equal(out[16], 6.5);
  assert.equal(out[1], -1);
});

test('Q8_0: signed bytes times the scale', () => {
  const bytes = new Uint8Array(34);
  new DataView(bytes.buffer).setUint16(0, 0x3800, true);
  bytes[2] = 0xff; // -1
  bytes[33] = 127;
  const out = new Float32Array(32);
  ggmlFormats.get(8)!.widen(new DataView(bytes.buffer), out);
  assert.equal(out[0], -0.5);
  assert.equal(out[31], 63.5);
});
