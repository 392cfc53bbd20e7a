import assert from 'node:assert/strict';
import { test } from 'node:test';
import { passAtK } from '../../../activities/evaluation/pass-at-k.js';

test('pass@1 is the success rate', () => assert.equal(passAtK(8, 2, 1), 0.25));

test('pass@k of n = 4, c = 1, k = 2 is 1 - C(3,2)/C(4,2) = 1/2', () => assert.equal(passAtK(4, 1, 2), 0.5));

test('with fewer failures than k, one of any k samples succeeds', () => assert.equal(passAtK(8, 5, 4), 1));

test('no success is 0', () => assert.equal(passAtK(8, 0, 8), 0));

test('large n does not overflow', () => assert.ok(Math.abs(passAtK(2000, 20, 100) - 0.6434) < 1e-3));

test('more successes than samples, or k beyond n, are refused', () => {
  assert.throws(() => passAtK(4, 5, 1), RangeError);
  assert.throws(() => passAtK(4, 2, 5), RangeError);
});
