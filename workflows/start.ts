import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { CONTROL_QUEUE } from './activity-proxies.js';

/**
 * Fails a workflow that was started in a wrong way. A plain error would make Temporal retry the workflow task for ever.
 */
const startedWrongly = (message: string): ApplicationFailure =>
  ApplicationFailure.nonRetryable(message, 'StartedWrongly');

/**
 * Rejects more than one input, and a task queue from whose name the GPU queue cannot be derived.
 *
 * @param input  description of the one input
 * @throws {ApplicationFailure} StartedWrongly
 */
export function requireOneInput(type: string, input: string, inputs: readonly unknown[]): void {
  requireControlQueue(type);
  // Continue-as-new passes the workflow's state as further arguments.
  const given = workflowInfo().continuedFromExecutionRunId === undefined ? inputs.length : Math.min(inputs.length, 1);
  if (given > 1)
    throw startedWrongly(
      `${type} takes one input, ${input}, but was given ${given}: was --input or --input-file given more than once? Put all settings into one document.`,
    );
}

/**
 * Refuses an iteration that a person started with something else than an iteration's input. The very input of one may be
 * played again by hand, even beside it: every step happens once, which fault injection proves in that way.
 *
 * @throws {ApplicationFailure} StartedWrongly unless this iteration is the child of a run, or has the input of one
 */
export function requireParentRun(inputs: readonly unknown[]): void {
  const { parent, workflowId } = workflowInfo();
  if (!parent && !isIterationInput(inputs[0])) {
    throw startedWrongly(
      `"${workflowId}" is of type iteration, which only a run starts, as its child: start type train, or train with {"resumeFrom":{"run":"..."}} to continue a run.`,
    );
  }
  if (inputs.length !== 1) throw startedWrongly(`iteration takes one input, but was given ${inputs.length}`);
  requireControlQueue('iteration');
}

function isIterationInput(input: unknown): boolean {
  const { run, iteration, policy } = (input ?? {}) as {
    run?: { runId?: unknown };
    iteration?: unknown;
    policy?: unknown;
  };
  return typeof run?.runId === 'string' && typeof iteration === 'number' && typeof policy === 'object';
}

function requireControlQueue(type: string): void {
  const { taskQueue } = workflowInfo();
  // The SDK replays histories on a queue of its own, whose name begins so.
  if (CONTROL_QUEUE.test(taskQueue) || taskQueue.startsWith('fake_replay_queue')) return;
  throw startedWrongly(
    `${type} was started on task queue "${taskQueue}", expected one that ends in -control, e.g. seeupo-control: the queue of its GPU steps is named after it ` +
      '(seeupo-gpu). Start it with --task-queue <SEEUPO_QUEUE_PREFIX>-control.',
  );
}

/** The workflow that runs for every unknown type. @param known  types that a person may start */
export const unknownType = (known: readonly string[]) =>
  async function unknown(): Promise<never> {
    const { workflowType } = workflowInfo();
    const similar = known.find((type) => type.toLowerCase() === workflowType.toLowerCase());
    throw startedWrongly(
      `there is no workflow type "${workflowType}": ${similar === undefined ? `known types are ${known.join(' and ')}` : `did you mean "${similar}"?`}`,
    );
  };
