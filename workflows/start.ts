import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { CONTROL } from './activity-proxies.js';

/**
 * A workflow was started as nobody meant it; ends it FAILED with words, where an error of the code would be tried
 * again for ever.
 */
const wrongly = (message: string): ApplicationFailure => ApplicationFailure.nonRetryable(message, 'StartedWrongly');

/**
 * Refuses more inputs than one, and a task queue of which the GPU queue cannot be told.
 *
 * @param input  what the one input is, in words
 * @throws {ApplicationFailure} StartedWrongly
 */
export function startedAsMeant(type: string, input: string, inputs: readonly unknown[]): void {
  requireControlQueue(type);
  // Over continue-as-new a workflow hands itself what it carries on.
  const given = workflowInfo().continuedFromExecutionRunId === undefined ? inputs.length : Math.min(inputs.length, 1);
  if (given > 1)
    throw wrongly(
      `${type} takes one input, ${input}, but was given ${given}: was --input or --input-file given more than once? Put all settings into one document.`,
    );
}

/** @throws {ApplicationFailure} StartedWrongly unless a run has started this iteration */
export function startedByARun(inputs: readonly unknown[]): void {
  const { parent, workflowId } = workflowInfo();
  if (!parent) {
    throw wrongly(
      `"${workflowId}" is of type iteration, which only a run starts, as its own part: start type train, or train with {"resumeFrom":{"run":"..."}} to go on with a run.`,
    );
  }
  if (inputs.length !== 1) throw wrongly(`iteration takes one input, but was given ${inputs.length}`);
  requireControlQueue('iteration');
}

function requireControlQueue(type: string): void {
  const { taskQueue } = workflowInfo();
  // The other is the SDK's own where a history is replayed on no queue at all.
  if (CONTROL.test(taskQueue) || taskQueue.startsWith('fake_replay_queue')) return;
  throw wrongly(
    `${type} was started on task queue "${taskQueue}", expected one that ends in -control, e.g. seeupo-control: the queue of its GPU steps is named after it ` +
      '(seeupo-gpu). Start it with --task-queue <SEEUPO_QUEUE_PREFIX>-control.',
  );
}

/** The workflow of every type that there is none of. @param known  the types that a person may start */
export const unknownType = (known: readonly string[]) =>
  async function unknown(): Promise<never> {
    const { workflowType } = workflowInfo();
    const meant = known.find((type) => type.toLowerCase() === workflowType.toLowerCase());
    throw wrongly(
      `there is no workflow type "${workflowType}": ${meant === undefined ? `known are ${known.join(' and ')}` : `did you mean "${meant}"?`}`,
    );
  };
