import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Runtime, Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { attributes } from '../../workflows/search-attributes.js';
import { binary } from './binaries.js';
import { bundleWorkflows, quiet } from './workflow-bundle.js';

/** The SDK allows one runtime per process. */
let installed = false;
let bundled: Promise<WorkflowBundleWithSourceMap> | undefined;

export interface TemporalUnderTest {
  readonly environment: TestWorkflowEnvironment;
  readonly bundle: WorkflowBundleWithSourceMap;
  /** Runs both workers around a piece of work; each call has task queues of its own. */
  withWorkers<R>(
    activities: { readonly cpu: object; readonly gpu: object },
    work: (taskQueue: string) => Promise<R>,
  ): Promise<R>;
  stop(): Promise<void>;
}

/**
 * A real Temporal server in memory, and the real workflow code.
 *
 * @param suggestContinueAsNewAfter  events after which the server suggests continue-as-new
 */
export async function startTemporal(suggestContinueAsNewAfter?: number): Promise<TemporalUnderTest> {
  if (!installed) Runtime.install({ logger: quiet });
  installed = true;
  const environment = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: binary('temporal') },
      searchAttributes: Object.values(attributes),
      log: { format: 'pretty', level: 'error' },
      ...(suggestContinueAsNewAfter !== undefined && {
        extraArgs: ['--dynamic-config-value', `limit.historyCount.suggestContinueAsNew=${suggestContinueAsNewAfter}`],
      }),
    },
  });
  const bundle = await (bundled ??= bundleWorkflows());
  let queues = 0;
  return {
    environment,
    bundle,
    async withWorkers({ cpu, gpu }, work) {
      const prefix = `test${++queues}`;
      const connection = environment.nativeConnection;
      const control = await Worker.create({
        connection,
        taskQueue: `${prefix}-control`,
        workflowBundle: bundle,
        activities: cpu,
        shutdownForceTime: '2 s',
      });
      const device = await Worker.create({
        connection,
        taskQueue: `${prefix}-gpu`,
        activities: gpu,
        maxConcurrentActivityTaskExecutions: 2,
        maxHeartbeatThrottleInterval: '100 ms',
        shutdownForceTime: '2 s',
      });
      return device.runUntil(() => control.runUntil(() => work(`${prefix}-control`)));
    },
    stop: () => environment.teardown(),
  };
}
