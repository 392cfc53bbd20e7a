import type { Client } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';

type Event = temporal.api.history.v1.IHistoryEvent;

/** One activity of a run, as its history tells it. */
export interface ActivityRecord {
  readonly workflowId: string;
  readonly type: string;
  readonly attempts: number;
  /** False if it was given up: its worker died with the only attempt of its own queue. */
  readonly completed: boolean;
  /** Who did it: `<process id>@<host>`. */
  readonly worker: string;
  /** Milliseconds since 1970. */
  readonly scheduledAt: number;
  /** When its last attempt began. */
  readonly startedAt: number;
}

/** The history of one execution; a run that continued as new has several. */
export interface ExecutionRecord {
  readonly workflowId: string;
  readonly events: number;
}

/** Every activity that a workflow and its children have started, and how long their histories are. */
export async function readHistories(
  client: Client,
  workflowId: string,
): Promise<{ activities: ActivityRecord[]; executions: ExecutionRecord[] }> {
  const activities: ActivityRecord[] = [];
  const executions: ExecutionRecord[] = [];
  const read = async (id: string, runId?: string): Promise<void> => {
    const history = (await client.workflow.getHandle(id, runId).fetchHistory()).events ?? [];
    executions.push({ workflowId: id, events: history.length });
    const scheduled = new Map(
      history.flatMap((event) =>
        event.activityTaskScheduledEventAttributes ? [[String(event.eventId), event] as const] : [],
      ),
    );
    const completed = new Set(
      history.flatMap((event) =>
        event.activityTaskCompletedEventAttributes
          ? [String(event.activityTaskCompletedEventAttributes.scheduledEventId)]
          : [],
      ),
    );
    for (const event of history) {
      const started = event.activityTaskStartedEventAttributes;
      if (started) {
        const origin = scheduled.get(String(started.scheduledEventId))!;
        activities.push({
          workflowId: id,
          type: origin.activityTaskScheduledEventAttributes!.activityType!.name!,
          attempts: started.attempt ?? 1,
          completed: completed.has(String(started.scheduledEventId)),
          worker: started.identity ?? '',
          scheduledAt: timeOf(origin),
          startedAt: timeOf(event),
        });
      }
      const child = event.childWorkflowExecutionStartedEventAttributes?.workflowExecution;
      if (child) await read(child.workflowId!, child.runId!);
      const next = event.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
      if (next) await read(id, next);
    }
  };
  const first = await client.workflow.getHandle(workflowId).describe();
  await read(workflowId, first.raw.workflowExecutionInfo?.firstRunId ?? first.runId);
  return { activities, executions };
}

const timeOf = ({ eventTime }: Event): number => Number(eventTime?.seconds ?? 0) * 1000 + (eventTime?.nanos ?? 0) / 1e6;
