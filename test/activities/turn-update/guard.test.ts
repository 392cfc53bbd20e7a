import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decisionOn, violationsOf } from '../../../activities/turn-update/guard.js';
import { GuardConfig } from '../../../schemas/train-config.js';

const guard = (given: object = {}) => GuardConfig.parse({ maxKl: 0.015, ...given });
const moved = (surrogateBefore: number, surrogateAfter: number, kl: number) => ({
  surrogateBefore,
  surrogateAfter,
  kl,
});

test('a surrogate that rises within the KL limit is no violation', () =>
  assert.deepEqual(violationsOf(moved(0.1, 0.2, 0.015), guard()), []));

test('a surrogate below the one before, by more than the tolerance, fell', () => {
  const given = guard({ surrogateTolerance: 0.25 });
  assert.deepEqual(violationsOf(moved(1, 0.75, 0), given), []); // 1 - 0.25 is allowed
  assert.deepEqual(violationsOf(moved(1, 0.5, 0), given), ['surrogate-fell']);
});

test('a divergence above the limit is one, and both can be', () => {
  assert.deepEqual(violationsOf(moved(0, 0, 0.0151), guard()), ['kl-over-limit']);
  assert.deepEqual(violationsOf(moved(1, 0, 1), guard()), ['surrogate-fell', 'kl-over-limit']);
});

test('null switches a check off', () =>
  assert.deepEqual(violationsOf(moved(1, 0, 9), guard({ maxKl: null, surrogateTolerance: null })), []));

test('what is no number is that and nothing else, also where the checks are off', () => {
  assert.deepEqual(violationsOf(moved(0, NaN, 0), guard()), ['non-finite']);
  assert.deepEqual(violationsOf(moved(0, 0, Infinity), guard({ maxKl: null })), ['non-finite']);
});

test('only `reject` rejects; a turn whose epochs were left out is stopped', () => {
  assert.equal(decisionOn(['kl-over-limit'], guard(), false), 'kept');
  assert.equal(decisionOn(['kl-over-limit'], guard({ onViolation: 'stop-epochs' }), true), 'stopped');
  assert.equal(decisionOn(['kl-over-limit'], guard({ onViolation: 'stop-epochs' }), false), 'kept');
  assert.equal(decisionOn(['surrogate-fell'], guard({ onViolation: 'reject' }), false), 'rejected');
  assert.equal(decisionOn([], guard({ onViolation: 'reject' }), false), 'kept');
});
