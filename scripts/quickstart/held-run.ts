import { commandLine } from '../../activities/command-line.js';
import { releaseRun, formatExecution, type ExecutionState } from '../../activities/run/ownership.js';
import { keys, type ArtifactStore } from '../../activities/artifacts/store.js';
import { Ownership, type Execution } from '../../schemas/ownership.js';
import { QuickstartError } from './current-run.js';

/** Where a run is about to be started. */
export interface Place {
  /** Of this machine. */
  readonly host: string;
  /** Temporal server that this checkout has started, host:port on loopback. */
  readonly server: string;
  readonly namespace: string;
  readonly stateOf: (execution: Execution) => Promise<ExecutionState>;
}

/**
 * Lets go of a run in place of an execution that is gone, so that it can be started here.
 *
 * Gone is what its own Temporal server does not know any more: the server that answers at a loopback address
 * of this machine now has taken the place of the one that did so when the run was claimed, so the database of
 * that one was deleted. Of any other server nothing is known, and a person must say so.
 *
 * Should the execution live all the same, it cannot commit another step: its generation is over.
 *
 * @param takeOver  the person has said so
 * @returns         what was done, in words; null if there was nothing to do
 * @throws {QuickstartError} if the execution runs, or may run, and how to go on
 */
export async function freeRun(
  store: ArtifactStore,
  runId: string,
  { host, server, namespace, stateOf }: Place,
  takeOver: boolean,
): Promise<string | null> {
  const held = (await store.findRecord(keys.ownership(runId), Ownership))?.record;
  if (!held?.holder) return null;
  const state = await stateOf(held.holder);
  if (state === 'closed') return null;
  const holder = `${formatExecution(held.holder)}, on the Temporal server at ${held.server ?? 'an unknown address'} of ${held.host}`;
  if (state === 'running') {
    throw new QuickstartError(
      `Run "${runId}" is held by ${holder}, which is running. Cancel it first: ${commandLine('temporal', 'workflow', 'cancel', '--address', server, '--namespace', held.holder.namespace, '--workflow-id', held.holder.workflowId)}`,
    );
  }
  const lost = held.host === host && held.server === server && held.holder.namespace === namespace;
  if (!lost && !takeOver) {
    throw new QuickstartError(
      `Run "${runId}" is held by ${holder}, since ${held.since}. The Temporal server of this checkout, at ${server} of ${host}, does not know it: it runs on ` +
        'another one, or its database was lost. Two executions must not write one run. If it is gone for good: npm run quickstart -- --take-over (and your options)',
    );
  }
  await releaseRun(store, { runId, generation: held.generation });
  return lost
    ? `the Temporal database that knew the execution of run "${runId}" is gone; a new execution takes the run over`
    : `run "${runId}" is taken over from ${holder}`;
}
