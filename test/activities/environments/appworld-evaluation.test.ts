// Needs of set-up: appworld
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createEnvironments } from '../../../activities/environments/registry.js';
import { withHeartbeats } from '../../../activities/heartbeats.js';
import { createCpuActivities, createGpuActivities } from '../../../activities/index.js';
import type { Policy } from '../../../activities/policy/policy.js';
import type { EvaluateConfigInput } from '../../../schemas/evaluate-config.js';
import { EvaluationContent } from '../../../schemas/evaluation-report.js';
import { startServices, type Services } from '../../../scripts/services.js';
import { appworld } from '../../../scripts/services/appworld.js';
import { setUp } from '../../../scripts/setup/index.js';
import type { evaluate } from '../../../workflows/evaluate.js';
import { readSettings } from '../../../workers/dependencies.js';
import { toyDependencies } from '../../support/run-on-paper.js';
import { startTemporal, type TemporalUnderTest } from '../../support/temporal.js';
import { toyCodec } from '../../support/toy-codec.js';
import { SOLUTIONS } from './appworld-scripts.js';

/** The whole stack but the model and the bucket: workflow and activities on a real Temporal server, the real engine behind the supervised sidecar. */
let temporal: TemporalUnderTest;
let services: Services;
let dataDir: string;
before(async () => {
  await setUp(['appworld']);
  dataDir = await mkdtemp(path.join(tmpdir(), 'seeupo-appworld-services-'));
  [temporal, services] = await Promise.all([startTemporal(), startServices({ dataDir, only: [], extra: [appworld] })]);
});
after(async () => {
  await services?.stop();
  await temporal?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const codec = toyCodec(Number.MAX_SAFE_INTEGER);
const idOf = (row: string): string => row.split('?')[0]!;

/** Says the solution of every task, except in sample 1 of task 5ee0002_2, where it gives up at the second response. */
const scripted: Pick<Policy, 'sample'> = {
  sample: async (requests) =>
    requests.map(({ prefixGroup: row, randomKey }) => {
      const [sample, turn] = randomKey.split('/').slice(-2).map(Number) as [number, number];
      const givesUp = idOf(row) === '5ee0002_2' && sample === 1 && turn > 1;
      const text = givesUp ? 'I give up.' : (SOLUTIONS[idOf(row)]![turn - 1] ?? 'Done.');
      const ids = [...codec.encode(text), codec.endOfTurn.id];
      return { ids, logProbs: ids.map(() => 0), end: 'end-of-turn' as const };
    }),
};

test('a scripted policy solves the small world through the evaluate workflow; TGC and SGC count tasks and scenarios', async () => {
  const { dependencies, artifacts } = toyDependencies();
  const everything = {
    ...dependencies,
    codec: async () => codec,
    // As a worker is told it.
    environments: createEnvironments({
      appworldUrl: readSettings({ ...services.env(), SEEUPO_S3_BUCKET: 'none' }).appworldUrl!,
    }),
    heartbeats: withHeartbeats,
    policy: { ...dependencies.policy, ...scripted },
  };
  const config: EvaluateConfigInput = {
    policy: { model: 'toy.gguf' },
    environment: { name: 'appworld', taskSet: 'authors?reward=shaped' },
    split: 'both',
    samplesPerTask: 2,
    temperature: 1,
    maxResponseTokens: 10_000,
    maxTurns: 4,
    tasksPerShard: 2,
  };
  const result = await temporal.withWorkers(
    { cpu: createCpuActivities(everything), gpu: createGpuActivities(everything) },
    (taskQueue) =>
      temporal.environment.client.workflow.execute<typeof evaluate>('evaluate', {
        taskQueue,
        workflowId: 'appworld',
        args: [config],
      }),
  );
  const { tasks, episodes, averageReward, taskGoalCompletion, scenarioGoalCompletion } = result.overall[0]!;
  assert.deepEqual([tasks, episodes, scenarioGoalCompletion!.scenarios], [4, 8, 2]);
  // Three tasks solved by both samples, one by one of them: (3 + 1/2) / 4. Scenario 5ee0001 by both, 5ee0002 by sample 0 alone: (1 + 1/2) / 2.
  assert.deepEqual([taskGoalCompletion.value, scenarioGoalCompletion!.value], [7 / 8, 3 / 4]);
  // The one that gave up passes one test of two: half of 1/2, where a success is 1.5.
  assert.ok(Math.abs(averageReward.value - (7 + 1 / 6) / 8) < 1e-12, String(averageReward.value));
  const content = await artifacts.getJson(result.json, EvaluationContent);
  assert.deepEqual(
    content.episodes.map(({ taskId, success }) => `${idOf(taskId)} ${success}`),
    ['5ee0001_1', '5ee0001_2', '5ee0002_1', '5ee0002_2'].flatMap((id) => [`${id} true`, `${id} ${id !== '5ee0002_2'}`]),
  );
});
