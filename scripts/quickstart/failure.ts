import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure } from '@temporalio/common';

/**
 * Why a workflow failed, in one line: the step, the kind of failure and its innermost message that
 * an activity or the workflow itself threw.
 */
export function failureLine(error: unknown): string {
  let step: string | null = null;
  let innermost: ApplicationFailure | null = null;
  let last: Error | null = null;
  const seen = new Set<unknown>();
  for (let next = error; next instanceof Error && !seen.has(next); next = next.cause) {
    seen.add(next);
    last = next;
    if (next instanceof ActivityFailure) step = next.activityType;
    // The core's own error is the cause of the failure that wraps it, with the same words and a narrower type.
    if (next instanceof ApplicationFailure && (innermost === null || next.message !== innermost.message))
      innermost = next;
    if (next instanceof ActivityFailure || next instanceof ChildWorkflowFailure) innermost = null;
  }
  const message = innermost?.message ?? last?.message ?? String(error);
  const kind = innermost?.type ? `${innermost.type}: ` : '';
  return oneLine(`${step === null ? '' : `${step}: `}${kind}${message}`);
}

/** Line breaks of a message become "; ", so that a log keeps one failure on one line. */
const oneLine = (text: string): string =>
  text
    .split(/\r?\n/)
    .map((line) => line.replace(/^\s*-\s*/, '').trim())
    .filter((line) => line !== '')
    .join('; ')
    .replaceAll(':; ', ': ');
