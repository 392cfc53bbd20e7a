import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';
import type { IterationProgress, TrainMetrics, TrainProgress } from '../../workflows/messages.js';
import type { PendingStep, Snapshot } from './snapshot.js';

/** A query waits for a worker; a worker that is busy starting up must not hold up the display. */
const QUERY_MS = 4_000;
const CALL_MS = 10_000;

/**
 * Looks at a run again and again until it is closed or the signal says to stop. A server or worker
 * that is away for a while is waited for.
 *
 * @param onUnreachable  called once each time the server stops answering
 */
export async function watchRun(
  client: Client,
  runId: string,
  {
    intervalMs,
    signal,
    onSnapshot,
    onUnreachable,
  }: {
    readonly intervalMs: number;
    readonly signal: AbortSignal;
    readonly onSnapshot: (snapshot: Snapshot) => void;
    readonly onUnreachable: (reason: string) => void;
  },
): Promise<Snapshot | null> {
  let reachable = true;
  let latest: Snapshot | null = null;
  while (!signal.aborted) {
    try {
      latest = await takeSnapshot(client, runId, latest);
      reachable = true;
      onSnapshot(latest);
      if (latest.status !== 'RUNNING') return latest;
    } catch (error) {
      if (reachable) onUnreachable((error as Error).message);
      reachable = false;
    }
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
  }
  return null;
}

async function takeSnapshot(client: Client, runId: string, before: Snapshot | null): Promise<Snapshot> {
  const handle = client.workflow.getHandle(runId);
  const description = await withDeadline(client, CALL_MS, () => handle.describe());
  const status = description.status.name;
  const progress = await query<TrainProgress>(client, handle, 'progress');
  // The metrics change when an iteration or a phase ends; asking every time would be a workflow task each.
  const changed = progress?.iteration !== before?.progress?.iteration || progress?.phase !== before?.progress?.phase;
  const metrics =
    progress === null || !(changed || before?.metrics == null)
      ? (before?.metrics ?? null)
      : await query<TrainMetrics>(client, handle, 'metrics');
  const child = progress?.child ? client.workflow.getHandle(progress.child) : null;
  const childDescription =
    child === null ? null : await withDeadline(client, CALL_MS, () => child.describe()).catch(() => null);
  const iteration = child === null ? null : await query<IterationProgress>(client, child, 'progress');
  return {
    status,
    progress,
    iteration,
    metrics: metrics ?? before?.metrics ?? null,
    steps: [description, childDescription].flatMap((d) => (d === null ? [] : pendingSteps(d))),
  };
}

const withDeadline = <R>(client: Client, ms: number, call: () => Promise<R>): Promise<R> =>
  client.connection.withDeadline(Date.now() + ms, call);

const query = <R>(client: Client, handle: WorkflowHandle, name: string): Promise<R | null> =>
  withDeadline(client, QUERY_MS, () => handle.query<R>(name)).catch(() => null);

function pendingSteps({ raw }: WorkflowExecutionDescription): PendingStep[] {
  return (raw.pendingActivities ?? []).map(({ activityType, attempt, heartbeatDetails, lastFailure }) => ({
    activity: activityType?.name ?? 'activity',
    attempt: attempt ?? 1,
    work: heartbeatOf(heartbeatDetails?.payloads?.[0]?.data),
    lastFailure: lastFailure?.message ?? null,
  }));
}

function heartbeatOf(bytes: Uint8Array | null | undefined): PendingStep['work'] {
  if (!bytes || bytes.length === 0) return null;
  try {
    const { phase, done, of } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>;
    return typeof phase === 'string' && typeof done === 'number' && typeof of === 'number' ? { phase, done, of } : null;
  } catch {
    return null;
  }
}
