import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkflowFailedError } from '@temporalio/client';
import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure, RetryState } from '@temporalio/common';
import { failureLine } from '../../scripts/quickstart/failure.js';

const activity = (cause: Error): ActivityFailure =>
  new ActivityFailure('Activity task failed', 'openRun', '1', RetryState.NON_RETRYABLE_FAILURE, 'worker', cause);
const failed = (cause: Error): WorkflowFailedError =>
  new WorkflowFailedError('Workflow execution failed', cause, RetryState.NON_RETRYABLE_FAILURE);

test('a failed run names its step, the kind of failure and the message, not the envelopes', () => {
  const cause = ApplicationFailure.nonRetryable('model.path is "x.gguf": no such file', 'BadConfig');
  assert.equal(failureLine(failed(activity(cause))), 'openRun: BadConfig: model.path is "x.gguf": no such file');
});

test('the failure in a child workflow’s activity is found', () => {
  const cause = activity(ApplicationFailure.nonRetryable('loss is NaN', 'NonFiniteLoss'));
  const child = new ChildWorkflowFailure(
    'default',
    { workflowId: 'r/iteration-0001' },
    'iteration',
    RetryState.NON_RETRYABLE_FAILURE,
    cause,
  );
  assert.equal(failureLine(failed(child)), 'openRun: NonFiniteLoss: loss is NaN');
});

test('the same words told twice are told once, with the classified kind', () => {
  const core = ApplicationFailure.create({ message: 'loss is NaN', type: 'Error' });
  const shell = ApplicationFailure.create({
    message: 'loss is NaN',
    type: 'NonFiniteLoss',
    nonRetryable: true,
    cause: core,
  });
  assert.equal(failureLine(failed(activity(shell))), 'openRun: NonFiniteLoss: loss is NaN');
});

test('several problems stay on one line', () => {
  const cause = ApplicationFailure.nonRetryable(
    'The configuration has 2 problems:\n  - a is missing\n  - b is 0',
    'BadConfig',
  );
  assert.equal(
    failureLine(failed(activity(cause))),
    'openRun: BadConfig: The configuration has 2 problems: a is missing; b is 0',
  );
});

test('any other error gives its innermost message', () => {
  assert.equal(failureLine(new Error('outer', { cause: new Error('inner') })), 'inner');
  assert.equal(failureLine('text'), 'text');
});
