import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { EvaluateConfigInput } from '../../schemas/evaluate-config.js';
import type { evaluate } from '../../workflows/evaluate.js';
import { fakeActivities } from './fake-activities.js';
import type { RecordedRun } from './recorded-runs.js';
import { startTemporal } from './temporal.js';

/** The history of an evaluation of two policies in two shards each. */
export async function recordedEvaluation(): Promise<RecordedRun> {
  const temporal = await startTemporal();
  const name = 'evaluated';
  try {
    const { cpu, gpu } = fakeActivities();
    return await temporal.withWorkers({ cpu, gpu }, async (taskQueue) => {
      const { workflow } = temporal.environment.client;
      await workflow.execute<typeof evaluate>('evaluate', {
        taskQueue,
        workflowId: name,
        args: [{} as EvaluateConfigInput],
      });
      const history = await workflow.getHandle(name).fetchHistory();
      return { name, workflowId: name, history: JSON.parse(historyToJSON(history)) as RecordedRun['history'] };
    });
  } finally {
    await temporal.stop();
  }
}
