import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys } from '../../../activities/artifacts/store.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { openedRun } from '../../../activities/run/run-context.js';
import { openInput } from '../../support/run-on-paper.js';
import { pipelineConfig, toyRun } from '../../support/toy-pipeline.js';
import { trainInProcess } from '../../support/train-in-process.js';

const { artifacts, dependencies } = toyRun();
await trainInProcess(dependencies, 'source', { ...pipelineConfig, algorithm: { name: 'seeupo', klCoefficient: 0 } });

/** What a fork is refused for; none if it is made. */
async function refusals(turn: number | null, change: Record<string, unknown>, run = 'source'): Promise<string[]> {
  const fork = openInput('fork', { forkFrom: { run, iteration: 1, turn }, change });
  return createOpenRun(dependencies)(fork).then(
    () => assert.fail(`${JSON.stringify(change)} was not refused`),
    (error: Error) => (assert.equal(error.name, 'BadConfig', error.stack), error.message.split('\n')),
  );
}

const BETWEEN_TURNS: readonly [path: string, change: Record<string, unknown>][] = [
  ['seed', { seed: 9 }],
  ['rollout.temperature', { rollout: { temperature: 0.45 } }],
  ['rollout.groupSize', { rollout: { groupSize: 4 } }],
  ['rollout.tasksPerIteration', { rollout: { tasksPerIteration: 1 } }],
  ['rollout.tasksPerShard', { rollout: { tasksPerShard: 1 } }],
  ['rollout.maxResponseTokens', { rollout: { maxResponseTokens: 16 } }],
  ['rollout.maxTurns', { rollout: { maxTurns: 3 } }],
  ['rollout.history', { rollout: { history: 'thinking-stripped' } }],
  ['rollout.history', { rollout: { history: { slidingWindow: 1 } } }],
  ['rollout.cutEpisodeReward', { rollout: { cutEpisodeReward: 'zero' } }],
  ['algorithm.klCoefficient', { algorithm: { klCoefficient: 5 } }],
  ['algorithm.normalization', { algorithm: { normalization: 'group' } }],
  ['algorithm.deviation', { algorithm: { deviation: 'sample' } }],
  ['algorithm.rewardShaping', { algorithm: { rewardShaping: 'magnified' } }],
  ['algorithm.advantageClip', { algorithm: { advantageClip: 3 } }],
  ['algorithm.skipGroupsWithoutVariance', { algorithm: { skipGroupsWithoutVariance: true } }],
  ['algorithm.updateOrder', { algorithm: { updateOrder: 'forward' } }],
  ['algorithm.ratioReference', { algorithm: { ratioReference: 'turn' } }],
  ['algorithm.name', { algorithm: { name: 'gspo' } }],
  ['algorithm.name', { algorithm: { name: 'grpo' } }],
  ['algorithm.name', { algorithm: { name: 'ppo' } }],
  ['algorithm.name', { algorithm: { name: 'reinforce' } }],
  ['update.shards', { update: { shards: 2 } }],
];
const ANYWHERE: readonly [path: string, change: Record<string, unknown>][] = [
  ['training', { training: 'full' }],
  ['lora.rank', { lora: { rank: 4 } }],
  ['lora.alpha', { lora: { alpha: 4 } }],
  ['model.path', { model: { path: 'other.gguf' } }],
  ['environment.name', { environment: { name: 'other' } }],
  ['environment.taskSet', { environment: { taskSet: 'other' } }],
  ['warmStart', { warmStart: { optimizer: { learningRate: 1 } } }],
];

test('each setting that shared steps were made with is refused by name at the start, with both values and what to do', async () => {
  for (const [path, change] of BETWEEN_TURNS) {
    const said = (await refusals(1, change)).join('\n');
    assert.match(
      said,
      new RegExp(
        `forkFrom: cannot change before turn 1 of iteration 1: ${path}: stored .+, given .+ \\(made with it: .+; fork before the iteration, "turn": null\\)`,
      ),
      path,
    );
  }
  for (const turn of [null, 1]) {
    for (const [path, change] of ANYWHERE)
      assert.match(
        (await refusals(turn, change)).join('\n'),
        new RegExp(
          `cannot change .*: ${path}: stored .+, given .+ \\(all of the run was made with it: start a run of its own\\)`,
        ),
        path,
      );
  }
  assert.ok(!artifacts.objects.has(keys.ownership('fork')), 'nothing was claimed');
});

test('all reasons are told at once, with what is wrong with the settings by themselves and with the tasks', async () => {
  const change = {
    training: 'full',
    rollout: { temperature: 0.45, tasksPerIteration: 99 },
    algorithm: { normalization: 'none', klCoefficient: 5 },
  };
  const found = (await refusals(1, change))
    .slice(1)
    .map((line) => /^ {2}- (?:forkFrom: cannot change before turn 1 of iteration 1: )?([\w.]+)/.exec(line)?.[1]);
  assert.deepEqual(
    found.sort(),
    [
      'algorithm.klCoefficient',
      'algorithm.normalization',
      'rollout.temperature',
      'rollout.tasksPerIteration',
      'rollout.tasksPerIteration',
      'training',
    ].sort(),
  );
  const unknown = (await refusals(1, { training: 'full', optimizer: { learningRat: 1 } })).join('\n');
  assert.match(unknown, /learningRat is no setting/);
  assert.match(unknown, /cannot change before turn 1 of iteration 1: training/);
  // What is no configuration at all is that, and no crash.
  for (const algorithm of [null, 5, 'gspo']) assert.match((await refusals(1, { algorithm })).join('\n'), /algorithm/);
});

test('at the beginning of an iteration all that iterations read may change: it goes on under the new settings', async () => {
  for (const [i, [path, change]] of BETWEEN_TURNS.entries()) {
    const named = `free-${i}`;
    await trainInProcess(dependencies, named, { forkFrom: { run: 'source', iteration: 2 }, change }).catch(
      (error: Error) => assert.fail(`${path}: ${error.message}`),
    );
    assert.ok(artifacts.objects.has(keys.checkpoint(named, 2)), path);
  }
});

test('what a fork at the very beginning shares is what came before it: the warm start and evaluations made alike', async () => {
  const { run } = await createOpenRun(dependencies)(openInput('warm', pipelineConfig));
  const change = { optimizer: { learningRate: 0.1 } };
  const fork = await createOpenRun(dependencies)(
    openInput('slower', { forkFrom: { run: 'warm', iteration: 0 }, change }),
  );
  const fingerprint = async (of: typeof run, iteration: number) =>
    (await openedRun(artifacts, of, { iteration })).fingerprint;
  assert.equal(await fingerprint(fork.run, -1), await fingerprint(run, -1));
  assert.notEqual(await fingerprint(fork.run, 0), await fingerprint(run, 0));
});
