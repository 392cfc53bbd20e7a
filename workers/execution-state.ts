import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { ExecutionState } from '../activities/run/ownership.js';
import type { Execution } from '../schemas/ownership.js';

/** Asks the Temporal server of the worker that the calling activity runs on. */
export const executionState = (execution: Execution): Promise<ExecutionState> =>
  executionStateAt(Context.current().client, execution);

/** What a client's server knows of an execution. One of another namespace than the client's is unknown to it. */
export async function executionStateAt(
  { workflow }: Pick<Client, 'workflow'>,
  { namespace, workflowId, firstRunId }: Execution,
): Promise<ExecutionState> {
  if (workflow.options.namespace !== namespace) return 'unknown';
  try {
    // Known at all? An id may also belong to a namesake of another server.
    await workflow.getHandle(workflowId, firstRunId).describe();
    // The latest of the id: on one server an id has at most one execution that lives, and continuations belong to their first.
    const latest = await workflow.getHandle(workflowId).describe();
    const ofThisChain = latest.raw.workflowExecutionInfo?.firstRunId === firstRunId;
    return ofThisChain && latest.status.name === 'RUNNING' ? 'running' : 'closed';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'unknown';
    throw error;
  }
}
