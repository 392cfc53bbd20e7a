import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { isGpuActivity } from '../../activities/gpu-activity-names.js';
import type { Fault } from './faults.js';
import type { Stack } from './stack.js';

/** What a blow did, and what is to be waited for besides the run itself. */
export interface Struck {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** What was hit, for the log, e.g. `gpu-worker-1 (process 4711)`. */
  readonly what: string;
  /** The run of the twin. */
  readonly twin?: WorkflowHandle;
}

/** How long to wait for something that can be hit: a service that is just being restarted, an iteration to double. */
const PATIENCE_MS = 60_000;
const AGAIN_MS = 200;

/** Lets one fault fall, and takes it away again where it does not mend itself. Resolves when it is over. */
export async function inflict(
  stack: Stack,
  run: WorkflowHandle,
  fault: Fault,
  log: (line: string) => void,
): Promise<Struck> {
  switch (fault.kind) {
    case 'store': {
      const at = Date.now();
      await stack.proxy.inflict(fault.fault, fault.seconds);
      return { at, what: 'the store' };
    }
    case 'twin':
      return { at: Date.now(), what: 'the iteration', twin: await startTwin(stack, run) };
    case 'kill': {
      const hit = await signal(stack, run, fault.service, 'SIGKILL');
      log(`    killed ${hit.what}`);
      return hit;
    }
    case 'freeze': {
      const hit = await signal(stack, run, 'gpu-worker', 'SIGSTOP');
      log(`    stopped ${hit.what}`);
      await sleep(fault.seconds * 1000);
      sendTo(hit.pid, 'SIGCONT'); // if another fault has killed it since, there is nothing to wake
      return hit;
    }
  }
}

/** Signals a service once it runs; of several, the one that is at work. */
async function signal(
  stack: Stack,
  run: WorkflowHandle,
  service: string,
  name: NodeJS.Signals,
): Promise<Struck & { readonly pid: number }> {
  for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(AGAIN_MS)) {
    const candidates = Object.entries(stack.services.pids()).filter(
      ([candidate]) => candidate === service || candidate.startsWith(`${service}-`),
    );
    const busy = candidates.length > 1 ? await workersAtWork(stack, run) : new Set<number>();
    const [hit, pid] = candidates.find(([, pid]) => pid !== undefined && busy.has(pid)) ?? candidates[0] ?? [];
    if (hit !== undefined && pid !== undefined && sendTo(pid, name))
      return { at: Date.now(), what: `${hit} (process ${pid})`, pid };
    if (Date.now() > deadline) throw new Error(`${service} does not run, so it cannot be sent ${name}`);
  }
}

function sendTo(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Process ids of the workers that hold an activity of the run or of its iteration; none if the server does not say. */
async function workersAtWork({ client }: Stack, run: WorkflowHandle): Promise<Set<number>> {
  const child = await run.query<{ child: string | null }>('progress').then(
    (progress) => progress.child,
    () => null,
  );
  const ids = [run.workflowId, ...(child === null ? [] : [child])];
  const described = await Promise.all(
    ids.map((id) =>
      client.workflow
        .getHandle(id)
        .describe()
        .catch(() => null),
    ),
  );
  const activities = described.flatMap((description) => description?.raw.pendingActivities ?? []);
  // The SDK names a worker `<pid>@<host>`.
  return new Set(
    activities
      .filter(({ activityType }) => isGpuActivity(activityType?.name ?? ''))
      .map(({ lastWorkerIdentity }) => Number.parseInt(lastWorkerIdentity ?? '', 10)),
  );
}

/** Starts the iteration that is under way, or the next one, again under another id, with the very same input. */
async function startTwin({ client }: Stack, run: WorkflowHandle): Promise<WorkflowHandle> {
  for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(AGAIN_MS)) {
    const child = await run.query<{ child: string | null }>('progress').then(
      (progress) => progress.child,
      () => null,
    );
    const history =
      child === null
        ? null
        : await client.workflow
            .getHandle(child)
            .fetchHistory()
            .catch(() => null);
    const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
    if (started) {
      const args = (started.input?.payloads ?? []).map((payload) => defaultPayloadConverter.fromPayload(payload));
      return client.workflow.start('iteration', {
        taskQueue: started.taskQueue!.name!,
        workflowId: `${child}-twin`,
        args,
      });
    }
    if (Date.now() > deadline) throw new Error('no iteration is under way, so none can be started twice');
  }
}
