import { ReleaseRunInput } from '../../schemas/steps.js';
import type { CpuDependencies } from '../dependencies.js';
import { releaseRun } from './ownership.js';

/** Releases a run that has ended: any execution, on any server, may continue it. Control queue. */
export const createReleaseRun = ({ artifacts }: Pick<CpuDependencies, 'artifacts'>) =>
  async function release(input: ReleaseRunInput): Promise<void> {
    await releaseRun(artifacts, ReleaseRunInput.parse(input).run);
  };
