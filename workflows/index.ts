import { setWorkflowOptions } from '@temporalio/workflow';
import { iteration } from './iteration.js';

// Under worker versioning an iteration ends on the build that it began on; its run goes on with the current one,
// so a new build takes over at the next iteration.
setWorkflowOptions({ versioningBehavior: 'PINNED' }, iteration);

export { train } from './train.js';
export { iteration };
export { evaluate } from './evaluate.js';
