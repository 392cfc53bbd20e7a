import os from 'node:os';
import path from 'node:path';
import { createGpuActivities } from '../activities/index.js';
import { startPolicy } from '../activities/policy/policy-thread.js';
import { arithmeticOf, createDependencies } from './dependencies.js';
import { Device, withStickyQueue } from './device.js';
import { main, serve } from './serve.js';
import { withStepLog } from './step-log.js';

/** Time to report the failed activity before the process ends. */
const DYING_MS = 2_000;

/**
 * Serves the GPU queue and a sticky queue of its own for steps that continue from the weights that it holds, one task
 * at a time. Run one such process per device. It works on CPUs as well.
 */
await main('gpu', async (settings, log) => {
  const dependencies = createDependencies(settings, log);
  const device = await startPolicy(settings.precision, settings.replicas);
  const policy: typeof device = {
    ...device,
    // openRun has downloaded a hub's model, but perhaps on another machine.
    use: async (weights, report) => {
      await dependencies.fetchModel(
        path.relative(dependencies.modelsDir, weights.model.path),
        report,
        weights.model.acceptSettings,
      );
      return device.use(weights, report);
    },
  };
  policy.died.catch((error: Error) => {
    log.fatal({ err: error }, error.message);
    // The current activity fails first; the process that the supervisor starts next retries it.
    setTimeout(() => process.exit(1), DYING_MS).unref();
  });
  /** Logged after each step: a memory leak shows as a count that grows from step to step. */
  const memory = async (): Promise<object> => {
    const { tensors, tensorBytes, residentBytes } = await policy.device();
    return { tensors, tensorBytes, residentBytes };
  };
  try {
    const found = await policy.device();
    const arithmetic = arithmeticOf(settings, found);
    log.info({ ...found, arithmetic }, 'device');
    const schedule = new Device();
    const stickyQueue = `${settings.queues.gpu}-${os.hostname()}-${process.pid}-${Date.now()}`;
    const activities = withStickyQueue(
      stickyQueue,
      withStepLog(log, createGpuActivities({ ...dependencies, arithmetic, policy }), memory),
    );
    const { shared: activityTaskSlotSupplier } = schedule;
    const none = { type: 'fixed-size', numSlots: 1 } as const;
    const common = {
      // Limits the age of progress in the Web UI; well under the heartbeat timeout of activity-proxies.
      maxHeartbeatThrottleInterval: '10 s',
      // Supervisors kill a process after a minute: the current step is cancelled, and reports that, before then.
      shutdownGraceTime: '50 s',
      shutdownForceTime: '58 s',
    } as const;
    await serve(
      [
        {
          ...common,
          taskQueue: settings.queues.gpu,
          activities: schedule.queueWhileBusy(activities, (wait) => dependencies.heartbeats(wait)),
          // A device has room for one policy, so a second task would only wait.
          tuner: {
            activityTaskSlotSupplier,
            workflowTaskSlotSupplier: none,
            localActivityTaskSlotSupplier: none,
            nexusTaskSlotSupplier: none,
          },
        },
        {
          ...common,
          taskQueue: stickyQueue,
          activities: schedule.rejectWhileBusy(activities),
          maxConcurrentActivityTaskExecutions: 1,
        },
      ],
      settings,
      dependencies.artifacts,
      log,
    );
  } finally {
    await policy.close();
  }
});
