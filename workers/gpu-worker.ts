import os from 'node:os';
import path from 'node:path';
import { createGpuActivities } from '../activities/index.js';
import { startPolicy } from '../activities/policy/policy-thread.js';
import { arithmeticOf, createDependencies } from './dependencies.js';
import { Device, naming } from './device.js';
import { main, serve } from './serve.js';
import { withStepLog } from './step-log.js';

/** Time to report the failed activity before the process ends. */
const DYING_MS = 2_000;

/** Takes the GPU queue, and one of its own for the weights that it holds, one task at a time: run one such process per device. Works on CPUs as well. */
await main('gpu', async (settings, log) => {
  const dependencies = createDependencies(settings, log);
  const device = await startPolicy(settings.precision, settings.replicas);
  const policy: typeof device = {
    ...device,
    // A model of a hub was fetched where the run was opened, which may be another machine.
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
    // The activity under way fails first and is done again by the process that the supervisor starts.
    setTimeout(() => process.exit(1), DYING_MS).unref();
  });
  /** A leak shows here as a count that grows from one step of a kind to the next. */
  const memory = async (): Promise<object> => {
    const { tensors, tensorBytes, residentBytes } = await policy.device();
    return { tensors, tensorBytes, residentBytes };
  };
  try {
    const standing = await policy.device();
    const arithmetic = arithmeticOf(settings, standing);
    log.info({ ...standing, arithmetic }, 'device');
    const place = new Device();
    const own = `${settings.queues.gpu}-${os.hostname()}-${process.pid}-${Date.now()}`;
    const activities = naming(
      own,
      withStepLog(log, createGpuActivities({ ...dependencies, arithmetic, policy }), memory),
    );
    const { shared: activityTaskSlotSupplier } = place;
    const none = { type: 'fixed-size', numSlots: 1 } as const;
    const common = {
      // Progress in the Web UI at most so old; well under the heartbeat time-out of activity-proxies.
      maxHeartbeatThrottleInterval: '10 s',
      // Supervisors kill after a minute: the step under way is told to stop, and says so, before that.
      shutdownGraceTime: '50 s',
      shutdownForceTime: '58 s',
    } as const;
    await serve(
      [
        {
          ...common,
          taskQueue: settings.queues.gpu,
          activities: place.waiting(activities, (wait) => dependencies.heartbeats(wait)),
          // A device has room for one policy; a second task would only wait, and hold its heartbeat up.
          tuner: {
            activityTaskSlotSupplier,
            workflowTaskSlotSupplier: none,
            localActivityTaskSlotSupplier: none,
            nexusTaskSlotSupplier: none,
          },
        },
        { ...common, taskQueue: own, activities: place.refusing(activities), maxConcurrentActivityTaskExecutions: 1 },
      ],
      settings,
      dependencies.artifacts,
      log,
    );
  } finally {
    await policy.close();
  }
});
