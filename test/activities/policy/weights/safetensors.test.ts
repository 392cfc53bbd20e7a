import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSafetensors, writeSafetensors } from '../../../../activities/policy/weights/safetensors.js';

const tensors = [
  { name: 'a', shape: [2, 2], values: Float32Array.of(1, -2, 3.5, 0) },
  { name: 'b', shape: [1], values: Float32Array.of(Math.fround(Math.PI)) },
];

test('what is written is read back, and the data starts at a multiple of 8', () => {
  const bytes = writeSafetensors(tensors, { format: 'pt' });
  assert.equal(new DataView(bytes.buffer).getBigUint64(0, true) % 8n, 0n);
  const { tensors: read, metadata } = readSafetensors(bytes);
  assert.deepEqual([...read.values()], tensors);
  assert.deepEqual(metadata, { format: 'pt' });
});

test('a Buffer out of the pool, as small files are read, gives the same values', () => {
  assert.deepEqual([...readSafetensors(Buffer.from(writeSafetensors(tensors))).tensors.values()], tensors);
});

test('a file cut short is refused, naming the tensor that does not fit', () => {
  const bytes = writeSafetensors(tensors);
  assert.throws(() => readSafetensors(bytes.subarray(0, bytes.length - 1)), {
    name: 'TensorFileInvalid',
    message: /tensor b/,
  });
  assert.throws(() => readSafetensors(bytes.subarray(0, 4)), /too short/);
  assert.throws(() => readSafetensors(bytes.subarray(0, 40)), /header claims/);
});
