import { keys } from '../artifacts/store.js';

/** One report per number of iterations: a run that was stopped, reported and then taken further gets a second one. */
export const reportKey = (runId: string, completedIterations: number): string =>
  `${keys.run(runId)}report-${String(completedIterations).padStart(4, '0')}.json`;
