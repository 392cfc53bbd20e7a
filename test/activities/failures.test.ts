import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { z } from 'zod';
import { ArtifactMissing, ConflictingCommit, StoreUnavailable } from '../../activities/artifacts/errors.js';
import { EnvironmentProtocolError, EnvironmentUnavailable } from '../../activities/environments/environment.js';
import { classifyFailure, withClassifiedFailures } from '../../activities/failures.js';
import { BadConfig } from '../../activities/run/resolve-config.js';

const place = { bucket: 'b', key: 'k', endpoint: 'e' };
const classified = (error: unknown) => classifyFailure(error) as ApplicationFailure;

test('failures that only a person can mend are not retried', () => {
  for (const [error, type] of [
    [new BadConfig(['x']), 'BadConfig'],
    [new ArtifactMissing(place, 'a blob'), 'CheckpointCorrupt'],
    [new ConflictingCommit('other run'), 'ConflictingCommit'],
    [new EnvironmentProtocolError('bad_request', 'x'), 'EnvironmentProtocolError'],
    [z.string().safeParse(1).error, 'InvalidInput'],
  ] as const) {
    const failure = classified(error);
    assert.deepEqual([failure.type, failure.nonRetryable], [type, true]);
  }
});

test('failures that pass are retried after a while, with their message', () => {
  const store = classified(new StoreUnavailable(place, 'reading', new Error('down'), 'It is tried again.'));
  assert.deepEqual([store.type, store.nonRetryable, store.nextRetryDelay], ['StoreUnavailable', false, '5 s']);
  assert.match(store.message, /s3:\/\/b\/k at e failed: down/);
  assert.equal(classified(new EnvironmentUnavailable('x')).nonRetryable, false);
});

test('cancellation and unknown errors pass through', () => {
  for (const error of [new CancelledFailure('x'), new TypeError('fetch failed'), ApplicationFailure.nonRetryable('x')])
    assert.equal(classifyFailure(error), error);
});

test('a result that does not belong into a history is refused', async () => {
  const { small, large } = withClassifiedFailures({ small: async () => 'x', large: async () => 'x'.repeat(70_000) });
  assert.equal(await small(), 'x');
  await assert.rejects(large(), { type: 'ResultTooLarge', message: /large returned 70002 bytes, at most 65536/ });
});
