import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { shuffled, uniform, uniforms } from '../../../activities/numerics/random.js';

test("a uniform number is the first 53 bits of its key's SHA-256", () => {
  const digest = createHash('sha256').update('seed/1').digest();
  assert.equal(uniform('seed/1'), Number(digest.readBigUInt64BE(0) >> 11n) / 2 ** 53);
});

test('10,000 keys are uniform: every tenth holds 10 % within 4 standard errors', () => {
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i++) counts[Math.floor(uniform(`k/${i}`) * 10)]!++;
  counts.forEach((count) => assert.ok(Math.abs(count - 1000) < 4 * Math.sqrt(10_000 * 0.1 * 0.9)));
});

test('a stream depends on its key alone and a longer one starts with a shorter', () => {
  assert.deepEqual(uniforms('k', 20).subarray(0, 5), uniforms('k', 5));
  assert.notDeepEqual(uniforms('k', 5), uniforms('l', 5));
});

test('shuffling keeps every item', () => assert.deepEqual(shuffled([1, 2, 3, 4, 5], 'k').sort(), [1, 2, 3, 4, 5]));
