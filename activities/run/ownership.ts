import { Ownership, type Execution } from '../../schemas/ownership.js';
import type { RunRef } from '../../schemas/run.js';
import { keys, type ArtifactStore } from '../artifacts/store.js';
import { commandLine } from '../command-line.js';

/** Another execution owns this run, or has taken it over. */
export class RunHeld extends Error {
  override name = 'RunHeld';
}

/** State of an execution on this Temporal server; `unknown` means another server's, or one of a lost database. */
export type ExecutionState = 'running' | 'closed' | 'unknown';

export interface Claim {
  readonly by: Execution;
  /** Generation of the owner that, as the operator states, does not run any more; see ResumeRequest. */
  readonly takeOver?: number | undefined;
  readonly stateOf: (execution: Execution) => Promise<ExecutionState>;
  readonly host: string;
  /** Address of the Temporal server that the claimant runs on. */
  readonly server: string;
  readonly now: () => Date;
}

/** If several executions claim a run at the same time, one succeeds; the others read the record again and see it. */
const ATTEMPTS = 5;

/**
 * Makes an execution the only one that writes below a run's prefix.
 *
 * @returns the generation that its steps carry
 * @throws {RunHeld} if another execution holds the run that is not known to have ended
 */
export async function claimRun(
  artifacts: ArtifactStore,
  runId: string,
  { by, takeOver, stateOf, host, server, now }: Claim,
): Promise<number> {
  const key = keys.ownership(runId);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const found = await artifacts.findRecord(key, Ownership);
    const held = found?.record;
    if (held?.holder && isSame(held.holder, by)) return held.generation;
    if (held?.holder && held.generation !== takeOver) {
      const state = await stateOf(held.holder);
      if (state !== 'closed') throw new RunHeld(refusal(runId, held, held.holder, state, takeOver));
    }
    const claimed: Ownership = {
      kind: 'ownership',
      generation: (held?.generation ?? 0) + 1,
      holder: by,
      since: now().toISOString(),
      host,
      server,
    };
    if (await artifacts.replaceRecord(key, claimed, Ownership, found?.version ?? null)) return claimed.generation;
  }
  throw new RunHeld(
    `run "${runId}": ${ATTEMPTS} times another execution claimed it just before this one. Start again when the others have ended.`,
  );
}

/**
 * Releases a run that has ended, so that any execution on any server may continue it. Does nothing if it was taken
 * over.
 */
export async function releaseRun(
  artifacts: ArtifactStore,
  { runId, generation }: Pick<RunRef, 'runId' | 'generation'>,
): Promise<void> {
  const found = await artifacts.findRecord(keys.ownership(runId), Ownership);
  if (found?.record.generation !== generation) return;
  await artifacts.replaceRecord(keys.ownership(runId), { ...found.record, holder: null }, Ownership, found.version);
}

/** @throws {RunHeld} if the run was claimed by a later execution */
export async function requireOwnership(
  artifacts: ArtifactStore,
  { runId, generation }: Pick<RunRef, 'runId' | 'generation'>,
): Promise<void> {
  const found = await artifacts.findRecord(keys.ownership(runId), Ownership);
  if (found?.record.generation === generation) return;
  const other = found?.record;
  throw new RunHeld(
    `run "${runId}": this execution wrote it as generation ${generation}, but generation ${other?.generation ?? 'none'} ` +
      `${other?.holder ? `(${formatExecution(other.holder)}, since ${other.since})` : ''} holds it now: it was taken over. Terminate this execution, in the Web UI or with the Temporal CLI.`,
  );
}

const isSame = (a: Execution, b: Execution): boolean =>
  a.workflowId === b.workflowId && a.firstRunId === b.firstRunId && a.namespace === b.namespace;
export const formatExecution = ({ workflowId, firstRunId, namespace }: Execution): string =>
  `workflow "${workflowId}", execution ${firstRunId}, namespace ${namespace}`;

function refusal(
  runId: string,
  { generation, since, host, server }: Ownership,
  holder: Execution,
  state: ExecutionState,
  takeOver: number | undefined,
): string {
  const known =
    state === 'running'
      ? 'It is running.'
      : 'This Temporal server does not know it: it runs on another one, or its database was lost.';
  const asked = takeOver === undefined ? '' : ` takeOver is ${takeOver}, which is not the generation that holds it.`;
  const cancel = commandLine(
    'temporal',
    'workflow',
    'cancel',
    ...(server ? ['--address', server] : []),
    '--namespace',
    holder.namespace,
    '--workflow-id',
    holder.workflowId,
  );
  const first = state === 'running' ? `cancel it (${cancel}) and start again, or, ` : '';
  return (
    `run "${runId}" is held by ${formatExecution(holder)}, since ${since}, worker on ${host} (generation ${generation}). ${known}${asked} Two executions must not write one run: ` +
    `${first}if it is gone for good, start with {"resumeFrom":{"run":"${runId}","takeOver":${generation}}}.`
  );
}
