import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import pLimit from 'p-limit';
import { WorkflowFailedError } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';
import { uniform } from '../../activities/numerics/random.js';
import { keys } from '../../activities/artifacts/store.js';
import { createCpuActivities, createGpuActivities } from '../../activities/index.js';
import { withHeartbeats } from '../../activities/heartbeats.js';
import type { EvaluateConfigInput } from '../../schemas/evaluate-config.js';
import { EvaluationContent } from '../../schemas/evaluation-report.js';
import { EvaluationShardManifest } from '../../schemas/evaluation-plan.js';
import type { TrainConfigInput } from '../../schemas/train-config.js';
import type { evaluate } from '../../workflows/evaluate.js';
import * as messages from '../../workflows/messages.js';
import type { train } from '../../workflows/train.js';
import { fakeActivities } from '../support/fake-activities.js';
import { toyConfig, toyDependencies } from '../support/run-on-paper.js';
import { TabularPolicy } from '../support/tabular-policy.js';
import { startTemporal, type TemporalUnderTest } from '../support/temporal.js';
import { toyCodec } from '../support/toy-codec.js';

/** Real workflows on a real Temporal server; the game, its policy of four words and the store are in memory. */
let temporal: TemporalUnderTest;
before(async () => {
  temporal = await startTemporal();
});
after(() => temporal?.stop());

const RIGHT = 1;
const codec = { ...toyCodec(), decode: (ids: readonly number[]) => (ids[0] === RIGHT ? "CALL say('a')" : 'no') };
class OneWord extends TabularPolicy {
  sampled = 0;
  /** One word, drawn from the logits, that the token limit cuts. */
  override async sample(requests: Parameters<TabularPolicy['sample']>[0]) {
    this.sampled += requests.length;
    return requests.map(({ randomKey }) => {
      let left = uniform(randomKey);
      let id = 0;
      while (id < this.vocabulary - 1 && left >= Math.exp(this.logProb(id))) left -= Math.exp(this.logProb(id++));
      return { ids: [id], logProbs: [this.logProb(id)], end: 'token-limit' as const };
    }) as never;
  }
}
const trainConfig: TrainConfigInput = {
  ...toyConfig,
  iterations: 3,
  rollout: { ...toyConfig.rollout, groupSize: 8 },
  algorithm: { name: 'seeupo', minibatches: 2 },
  optimizer: { learningRate: 0.5 },
  evaluation: { samplesPerTask: 1 },
};

function toy() {
  const { dependencies, artifacts } = toyDependencies();
  const policy = new OneWord();
  const everything = { ...dependencies, codec: async () => codec, policy, heartbeats: withHeartbeats };
  const gpu = createGpuActivities(everything);
  // The policy holds one set of weights at a time; a GPU worker takes one task at a time.
  const device = pLimit(1);
  const evaluateShard: typeof gpu.evaluateShard = (input) => device(() => gpu.evaluateShard(input));
  return { artifacts, policy, activities: { cpu: createCpuActivities(everything), gpu: { ...gpu, evaluateShard } } };
}
const workflows = () => temporal.environment.client.workflow;

test('the end of a run is evaluated against its start, and an id that was evaluated is not played again', async () => {
  const { artifacts, policy, activities } = toy();
  await temporal.withWorkers(activities, async (taskQueue) => {
    await workflows().execute<typeof train>('train', { taskQueue, workflowId: 'learned', args: [trainConfig] });
    const config: EvaluateConfigInput = {
      policy: { run: 'learned', iteration: 'end' },
      against: { run: 'learned', iteration: 'untouched' },
      split: 'both',
      samplesPerTask: 8,
      tasksPerShard: 1,
    };
    const input = { taskQueue, workflowId: 'evaluation', args: [config] as [EvaluateConfigInput] };
    const result = await workflows().execute<typeof evaluate>('evaluate', input);
    assert.deepEqual(result.policies, ['run learned after 3 iterations', 'run learned before training']);
    const { averageReward } = result.comparison!;
    assert.ok(averageReward.value > 0 && averageReward.interval![0] > 0, JSON.stringify(averageReward));

    const content = await artifacts.getJson(result.json, EvaluationContent);
    assert.deepEqual([content.tasks.length, content.overall[0]!.episodes, content.episodes.length], [4, 32, 64]);
    assert.match(Buffer.from(await artifacts.getBlob(result.html)).toString(), /<html/);

    const sampled = policy.sampled;
    assert.deepEqual(await workflows().execute<typeof evaluate>('evaluate', input), result);
    assert.equal(policy.sampled, sampled);
  });
});

test('an evaluation that was ended in the middle goes on where it stood when it is started again', async () => {
  const { artifacts, policy, activities } = toy();
  const config: EvaluateConfigInput = {
    policy: { model: 'toy.gguf' },
    environment: { name: 'toy' },
    split: 'both',
    temperature: 1,
    maxResponseTokens: 32,
    maxTurns: 2,
    tasksPerShard: 1,
  };
  let broken = true;
  let begun = 0;
  const played: number[] = [];
  const gpu = {
    ...activities.gpu,
    async evaluateShard(input: Parameters<typeof activities.gpu.evaluateShard>[0]) {
      // The first two, whichever they are: a task queue keeps no order.
      for (const wait = begun++ >= 2; wait && broken; await Context.current().sleep(20)) Context.current().heartbeat();
      const result = await activities.gpu.evaluateShard(input);
      played.push(input.shard);
      return result;
    },
  };
  await temporal.withWorkers({ cpu: activities.cpu, gpu }, async (taskQueue) => {
    const input = { taskQueue, workflowId: 'interrupted', args: [config] as [EvaluateConfigInput] };
    const handle = await workflows().start<typeof evaluate>('evaluate', input);
    while ((await handle.query(messages.evaluationProgress)).shardsDone < 2) await sleep(20);
    await handle.terminate('the test');
    broken = false;
    const shard = keys.evaluationShard('interrupted', 0, played[0]!);
    const first = await artifacts.findManifest(shard, EvaluationShardManifest);
    assert.ok(first);
    const sampled = policy.sampled;
    await workflows().execute<typeof evaluate>('evaluate', input);
    assert.deepEqual(await artifacts.findManifest(shard, EvaluationShardManifest), first);
    // The other two: 2 tasks, 4 samples of at most 2 turns.
    assert.ok(policy.sampled - sampled <= 16, `${policy.sampled - sampled} responses were sampled again`);
  });
});

test('a wrong input ends the evaluation at once, saying all that is wrong', async () => {
  const { activities } = toy();
  await temporal.withWorkers(activities, async (taskQueue) => {
    const config = { policy: { model: 'toy.gguf' }, samplesPerTask: 0 } as EvaluateConfigInput;
    const failure = await workflows()
      .execute<typeof evaluate>('evaluate', { taskQueue, workflowId: 'wrong', args: [config] })
      .catch((error: unknown) => error);
    assert.ok(failure instanceof WorkflowFailedError);
    assert.match(((failure.cause as Error).cause as Error).message, /samplesPerTask is 0/);
  });
});

test('a cancelled evaluation ends cancelled', async () => {
  const { cpu, gpu } = fakeActivities(async ({ name }) => {
    if (name !== 'evaluateShard') return;
    const timer = setInterval(() => Context.current().heartbeat(), 50);
    await Context.current().cancelled.finally(() => clearInterval(timer));
  });
  await temporal.withWorkers({ cpu, gpu }, async (taskQueue) => {
    const handle = await workflows().start<typeof evaluate>('evaluate', {
      taskQueue,
      workflowId: 'cancelled',
      args: [{} as EvaluateConfigInput],
    });
    while ((await handle.query(messages.evaluationProgress)).shards === null) await sleep(20);
    await sleep(300);
    await handle.cancel();
    const failure = (await handle.result().catch((error: unknown) => error)) as WorkflowFailedError;
    assert.ok(failure.cause instanceof CancelledFailure, String(failure.cause));
  });
});
