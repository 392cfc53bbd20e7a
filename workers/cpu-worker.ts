import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { createCpuActivities } from '../activities/index.js';
import { createDependencies } from './dependencies.js';
import { main, serve } from './serve.js';
import { withStepLog } from './step-log.js';

/** The control worker: workflows, and activities that need no device. Any number may run. */
await main('cpu', async (settings, log) => {
  const dependencies = createDependencies(settings, log);
  const workflows = await workflowCode();
  const shutdown = { shutdownGraceTime: '20 s', shutdownForceTime: '30 s' } as const;
  await serve(
    [
      {
        taskQueue: settings.queues.control,
        activities: withStepLog(log, createCpuActivities(dependencies)),
        ...workflows,
        ...shutdown,
      },
      // No other worker polls workflows there: a workflow that was started on the GPU queue is failed with a message by
      // this worker, instead of waiting for ever.
      {
        taskQueue: settings.queues.gpu,
        ...workflows,
        ...shutdown,
        maxConcurrentWorkflowTaskExecutions: 2,
        maxCachedWorkflows: 0,
      },
    ],
    settings,
    dependencies.artifacts,
    log,
  );
});

/** The workflow bundle of the build, or one that is bundled from the sources now, which takes a second. */
async function workflowCode() {
  const bundle = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  if (existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  const workflowsPath = fileURLToPath(new URL('../workflows/index.js', import.meta.url));
  return { workflowBundle: await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') }) };
}
