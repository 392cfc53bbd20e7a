import { ApplyRetentionInput } from '../../schemas/steps.js';
import type { CpuDependencies } from '../dependencies.js';
import { openedRun } from '../run/run-context.js';
import { dropIterations, type Dropped } from './drop-iterations.js';
import { sweepBlobs } from './sweep-blobs.js';

/** A sweep reads every manifest of the bucket: it is done only so often. */
const SWEEP_EVERY = 25;

/** Applies the run's retention rule after an iteration was committed; does nothing if it has none. Control queue. */
export const createApplyRetention = ({ artifacts }: Pick<CpuDependencies, 'artifacts'>) =>
  async function applyRetention(input: ApplyRetentionInput): Promise<Dropped> {
    const { run, iteration } = ApplyRetentionInput.parse(input);
    const { retention } = (await openedRun(artifacts, run, { iteration })).config;
    if (retention === null) return { kept: [], dropped: [] };
    const dropped = await dropIterations(artifacts, run.runId, retention);
    if ((iteration + 1) % SWEEP_EVERY === 0) await sweepBlobs(artifacts);
    return dropped;
  };
