import { setWorkflowOptions, workflowInfo } from '@temporalio/workflow';
import { evaluate as evaluateBody } from './evaluate.js';
import { iteration as iterationBody } from './iteration.js';
import { requireOneInput, requireParentRun, unknownType } from './start.js';
import { train as trainBody } from './train.js';
import { refuseUnknownMessages } from './unknown-messages.js';

// Temporal retries a workflow task that throws an unexpected error for ever, so wrong inputs are rejected first.

/** A training run. Its second argument is its own state over continue-as-new. */
export async function train(...inputs: unknown[]) {
  requireOneInput('train', 'the configuration', inputs);
  return trainBody(...(inputs as Parameters<typeof trainBody>));
}

/** One iteration, the child of a run. */
export async function iteration(...inputs: unknown[]) {
  requireParentRun(inputs);
  const done = iterationBody(...(inputs as Parameters<typeof iterationBody>));
  // The body has registered its own handlers by now.
  refuseUnknownMessages({
    signals: ['stopAfterTurn'],
    updates: [],
    elsewhere: `its run answers: workflow ${workflowInfo().parent?.workflowId ?? 'of that run'}`,
  });
  return done;
}

/** An evaluation of one or two policies, started without a run. */
export async function evaluate(...inputs: unknown[]) {
  requireOneInput('evaluate', 'the configuration', inputs);
  return evaluateBody(...(inputs as Parameters<typeof evaluateBody>));
}

// Under worker versioning an iteration stays on the build on which it began, and its run moves to the current build, so
// a new build takes over at the next iteration. A worker without a deployment must not set a versioning behavior.
setWorkflowOptions(
  () => (workflowInfo().currentDeploymentVersion?.deploymentName ? { versioningBehavior: 'PINNED' } : {}),
  iteration,
);

/** The workflow for all other types. */
export default unknownType(['train', 'evaluate']);
