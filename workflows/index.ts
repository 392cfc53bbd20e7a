import { setWorkflowOptions, workflowInfo } from '@temporalio/workflow';
import { evaluate as evaluateBody } from './evaluate.js';
import { iteration as iterationBody } from './iteration.js';
import { startedAsMeant, startedByARun, unknownType } from './start.js';
import { train as trainBody } from './train.js';
import { refuseUnknownMessages } from './unknown-messages.js';

// A workflow that throws where no failure is expected is tried again for ever: what a person may get wrong is
// refused first.

/** A run; `continued` is its own, over continue-as-new. */
export async function train(...inputs: unknown[]) {
  startedAsMeant('train', 'the configuration', inputs);
  return trainBody(...(inputs as Parameters<typeof trainBody>));
}

/** One iteration, of a run. */
export async function iteration(...inputs: unknown[]) {
  startedByARun(inputs);
  const done = iterationBody(...(inputs as Parameters<typeof iterationBody>));
  // By now it has its own handlers.
  refuseUnknownMessages({
    signals: ['stopAfterTurn'],
    updates: [],
    elsewhere: `its run answers: workflow ${workflowInfo().parent!.workflowId}`,
  });
  return done;
}

/** Policies on tasks, on its own. */
export async function evaluate(...inputs: unknown[]) {
  startedAsMeant('evaluate', 'the configuration', inputs);
  return evaluateBody(...(inputs as Parameters<typeof evaluateBody>));
}

// Under worker versioning an iteration ends on the build that it began on; its run goes on with the current one,
// so a new build takes over at the next iteration.
// A worker without a build must not say so.
setWorkflowOptions(
  () => (workflowInfo().currentDeploymentVersion?.deploymentName ? { versioningBehavior: 'PINNED' } : {}),
  iteration,
);

/** Whatever else is asked for. */
export default unknownType(['train', 'evaluate']);
