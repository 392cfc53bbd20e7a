import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { ExecutionState } from '../activities/run/ownership.js';
import type { Execution } from '../schemas/ownership.js';

/** Asks the Temporal server of the worker that the calling activity runs on. An execution of another namespace is unknown here. */
export async function executionState({ namespace, workflowId, firstRunId }: Execution): Promise<ExecutionState> {
  const { client, info } = Context.current();
  if (info.workflowNamespace !== namespace) return 'unknown';
  try {
    // Known at all? An id may also belong to a namesake of another server.
    await client.workflow.getHandle(workflowId, firstRunId).describe();
    // The latest of the id: on one server an id has at most one execution that lives, and continuations belong to their first.
    const latest = await client.workflow.getHandle(workflowId).describe();
    const ofThisChain = latest.raw.workflowExecutionInfo?.firstRunId === firstRunId;
    return ofThisChain && latest.status.name === 'RUNNING' ? 'running' : 'closed';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'unknown';
    throw error;
  }
}
