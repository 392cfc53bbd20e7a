import { setWorkflowOptions, workflowInfo } from '@temporalio/workflow';
import { iteration } from './iteration.js';

// Under worker versioning an iteration ends on the build that it began on; its run goes on with the current one,
// so a new build takes over at the next iteration.
// A worker without a build must not say so.
setWorkflowOptions(() => (workflowInfo().currentDeploymentVersion?.deploymentName ? { versioningBehavior: 'PINNED' } : {}), iteration);

export { train } from './train.js';
export { iteration };
export { evaluate } from './evaluate.js';
