import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createCpuActivities } from '../activities/index.js';
import { createDependencies } from './dependencies.js';
import { main, serve } from './serve.js';
import { withStepLog } from './step-log.js';

/** Takes the control queue: workflows, and activities that need no device. Any number may run. */
await main('cpu', async (settings, log) => {
  const dependencies = createDependencies(settings, log);
  await serve(
    [{ taskQueue: settings.queues.control, activities: withStepLog(log, createCpuActivities(dependencies)), ...workflowCode(), shutdownGraceTime: '20 s', shutdownForceTime: '30 s' }],
    settings,
    dependencies.artifacts,
    log,
  );
});

/** The bundle that the build made, or the sources, bundled now (a second more). */
function workflowCode() {
  const bundle = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  return existsSync(bundle)
    ? { workflowBundle: { codePath: bundle } }
    : { workflowsPath: fileURLToPath(new URL('../workflows/index.js', import.meta.url)) };
}
