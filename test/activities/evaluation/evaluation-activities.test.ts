import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { keys } from '../../../activities/artifacts/store.js';
import { createEvaluateShard } from '../../../activities/evaluation/evaluate-shard.activity.js';
import { createOpenEvaluation } from '../../../activities/evaluation/open-evaluation.activity.js';
import { createReportEvaluation } from '../../../activities/evaluation/report-evaluation.activity.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { CheckpointManifest } from '../../../schemas/checkpoint.js';
import type { EvaluateConfigInput } from '../../../schemas/evaluate-config.js';
import { EvaluationPlan, EvaluationShardManifest } from '../../../schemas/evaluation-plan.js';
import { EvaluationContent } from '../../../schemas/evaluation-report.js';
import { openInput, toyConfig, toyDependencies } from '../../support/run-on-paper.js';
import { tinyModel } from '../policy/tiny-models.js';
import { checkpoint, ref } from '../report/fixture.js';

/** A run of the toy game with two committed iterations, whose adapters are told apart by their keys. */
async function trained() {
  const toy = toyDependencies();
  await createOpenRun(toy.dependencies)(openInput('run-1', toyConfig));
  const commit = async (k: number) => {
    const policy = {
      folded: [],
      adapter: await toy.artifacts.putJson(`adapter ${k}`),
      moments: ref('moments'),
      optimizerSteps: 4,
    };
    await toy.artifacts.commitManifest(keys.checkpoint('run-1', k), checkpoint(k, { policy }), CheckpointManifest);
    return policy;
  };
  const policies = [await commit(0), await commit(1)];
  const open = (config: unknown, evaluationId = 'evaluation-1') =>
    createOpenEvaluation(toy.dependencies)({ evaluationId, config });
  const plan = async (evaluationId = 'evaluation-1') =>
    (await toy.artifacts.findManifest(keys.evaluationPlan(evaluationId), EvaluationPlan))!.manifest;
  return { ...toy, commit, policies, open, plan };
}
const end: EvaluateConfigInput = { policy: { run: 'run-1', iteration: 'end' }, split: 'both' };
const byModel: EvaluateConfigInput = {
  policy: { model: 'toy.gguf' },
  environment: { name: 'toy' },
  split: 'train',
  temperature: 0.5,
  maxResponseTokens: 32,
  maxTurns: 2,
};

test('an evaluation of a checkpoint takes what it leaves out from the run', async () => {
  const { open, plan, policies } = await trained();
  const { labels, tasks, shards, environment, runs } = await open({
    ...end,
    against: { run: 'run-1', iteration: 'untouched' },
    tasksPerShard: 3,
  });
  assert.deepEqual(
    { labels, tasks, shards, environment, runs },
    {
      labels: ['run run-1 after 2 iterations', 'run run-1 before training'],
      tasks: 4,
      shards: 2,
      environment: 'toy/quickstart',
      runs: ['run-1'],
    },
  );
  const { config, policies: evaluated } = await plan();
  assert.deepEqual(
    [config.temperature, config.maxResponseTokens, config.maxTurns, config.samplesPerTask],
    [0.9, 32, 2, 4],
  );
  assert.deepEqual([evaluated[0]!.state, evaluated[1]!.state.adapter], [policies[1], null]);
});

test('a checkpoint is named by the iterations done: 1 is the first', async () => {
  const { open, plan, policies } = await trained();
  await open({ ...end, policy: { run: 'run-1', iteration: 1 } });
  assert.deepEqual((await plan()).policies[0]!.state, policies[0]);
});

test('what `end` was when the evaluation was opened, it stays, though the run goes on', async () => {
  const { open, plan, commit, policies } = await trained();
  const first = await open(end);
  await commit(2);
  assert.deepEqual(await open(end), first);
  assert.deepEqual((await plan()).policies[0]!.state, policies[1]);
});

test('settings of config.json that an evaluation of a model accepts are in its plan; without them, or with a run, it is not opened', async () => {
  const { dependencies, open, plan } = await trained();
  mkdirSync(path.join(dependencies.modelsDir, 'marked'));
  const config = JSON.parse(readFileSync(path.join(tinyModel('llama-tied'), 'config.json'), 'utf8')) as object;
  writeFileSync(path.join(dependencies.modelsDir, 'marked', 'config.json'), JSON.stringify({ ...config, my_mark: 1 }));
  await assert.rejects(open({ ...byModel, policy: { model: 'marked' } }), {
    name: 'BadConfig',
    message: /policy\.model is "marked": .*has my_mark = 1/,
  });
  await assert.rejects(open({ ...end, policy: { run: 'run-1', iteration: 'end', acceptSettings: ['my_mark'] } }), {
    name: 'BadConfig',
    message: /acceptSettings, which goes with a model/,
  });
  await open({ ...byModel, policy: { model: 'marked', acceptSettings: ['my_mark'] } });
  assert.deepEqual((await plan()).policies[0]!.model.acceptSettings, ['my_mark']);
});

test('an id of another evaluation is refused with the settings that differ', async () => {
  const { open } = await trained();
  await open(end);
  await assert.rejects(open({ ...end, samplesPerTask: 2 }), {
    name: 'ConflictingCommit',
    message: /"evaluation-1".*samplesPerTask: stored 4, given 2.*another workflow id/,
  });
});

test('a model without a run needs its settings given, and each missing one is named', async () => {
  const { open } = await trained();
  await assert.rejects(open({ policy: { model: 'toy.gguf' }, maxTurns: 2 }), (error: Error) => {
    assert.equal(error.name, 'BadConfig');
    for (const name of ['environment', 'temperature', 'maxResponseTokens'])
      assert.match(error.message, new RegExp(`- ${name} is missing: a model that no run trained`));
    return true;
  });
  assert.equal((await open(byModel)).tasks, 3);
});

for (const [what, config, message] of [
  [
    'a run that the store does not hold',
    { ...end, policy: { run: 'other', iteration: 'end' } },
    /policy\.run is "other", of which this store has no runs\/other\/run\.json/,
  ],
  [
    'an iteration that is not committed',
    { ...end, policy: { run: 'run-1', iteration: 9 } },
    /policy\.iteration is 9, but run "run-1" has no such checkpoint: the last ones it has are 1, 2/,
  ],
  [
    'a model file that is not there',
    { ...byModel, policy: { model: 'nope.gguf' } },
    /policy\.model is "nope\.gguf": there is no such file/,
  ],
  [
    'a path out of the models directory',
    { ...byModel, policy: { model: '../toy.gguf' } },
    /policy\.model is "\.\.\/toy\.gguf": must be a file or directory below/,
  ],
  ['neither run nor model', { policy: {} }, /policy must name a run or a model, and not both/],
  [
    'both',
    { policy: { run: 'run-1', iteration: 1, model: 'toy.gguf' } },
    /policy must name a run or a model, and not both/,
  ],
  ['a run without an iteration', { policy: { run: 'run-1' } }, /policy must give run and iteration together/],
  [
    'iteration 0',
    { policy: { run: 'run-1', iteration: 0 } },
    /policy\.iteration is 0: must be a whole number from 1, "untouched", "start" or "end"/,
  ],
  ['an unknown key', { ...end, samples: 3 }, /samples is no setting: did you mean "samplesPerTask"\?/],
  ['a split that there is not', { ...end, split: 'test' }, /split is "test": must be "train", "heldout" or "both"/],
  ['no object at all', 'end', /the configuration is "end"/],
  ['nothing', null, /the configuration is null/],
] as const) {
  test(`${what} is refused in words`, async () => {
    const { open } = await trained();
    await assert.rejects(open(config), { name: 'BadConfig', message });
  });
}

test('a workflow id that could leave its prefix is refused', async () => {
  const { open } = await trained();
  await assert.rejects(open(end, '../run-1'), { name: 'BadConfig', message: /is "\.\.\/run-1": it must be 1 to 128/ });
});

test('a shard is played once: a retry finds it, another policy plays it with the same random numbers', async () => {
  const { dependencies, artifacts, batches, used, open, policies } = await trained();
  const evaluation = await open({
    ...end,
    against: { run: 'run-1', iteration: 'untouched' },
    tasksPerShard: 3,
    samplesPerTask: 2,
  });
  const evaluateShard = createEvaluateShard(dependencies);
  const first = await evaluateShard({ evaluation, policy: 0, shard: 0 });
  const drawn = batches.flat().map(({ randomKey }) => randomKey);
  assert.deepEqual(await evaluateShard({ evaluation, policy: 0, shard: 0 }), first);
  assert.equal(batches.flat().length, drawn.length);
  await evaluateShard({ evaluation, policy: 1, shard: 0 });
  assert.deepEqual(
    batches
      .flat()
      .slice(drawn.length)
      .map(({ randomKey }) => randomKey),
    drawn,
  );
  assert.deepEqual(used, [policies[1]!.adapter.sha256, null]);
  const { outcomes } = await artifacts.getJson(first.manifest, EvaluationShardManifest);
  assert.deepEqual(
    outcomes.map(({ taskId, sample }) => `${taskId}${sample}`),
    ['a0', 'a1', 'b0', 'b1', 'c0', 'c1'],
  );
});

test('the report has the figures of the outcomes and the transcripts, and a retry finds it', async () => {
  const { dependencies, artifacts, open } = await trained();
  const evaluation = await open({ ...end, samplesPerTask: 2, tasksPerShard: 2 });
  const evaluateShard = createEvaluateShard(dependencies);
  const shards = [
    [
      await evaluateShard({ evaluation, policy: 0, shard: 0 }),
      await evaluateShard({ evaluation, policy: 0, shard: 1 }),
    ].map(({ manifest }) => manifest),
  ];
  const report = await createReportEvaluation(dependencies)({ evaluation, shards });
  const objects = artifacts.objects.size;
  assert.deepEqual(await createReportEvaluation(dependencies)({ evaluation, shards }), report);
  assert.equal(artifacts.objects.size, objects);
  const content = await artifacts.getJson(report.json, EvaluationContent);
  const rewards = (
    await Promise.all(shards[0]!.map((shard) => artifacts.getJson(shard, EvaluationShardManifest)))
  ).flatMap(({ outcomes }) => outcomes.map(({ reward }) => reward));
  assert.equal(rewards.length, 8);
  assert.ok(Math.abs(content.overall[0]!.averageReward.value - rewards.reduce((a, b) => a + b) / 8) < 1e-12);
  assert.equal(content.episodes.length, 8);
  assert.match(content.episodes[0]!.turns[0]!.prompt!, /<user>a turn 1/);
  assert.match(
    new TextDecoder().decode(await artifacts.getBlob(report.html)),
    /<summary>run run-1 after 2 iterations: task a, sample 0, reward/,
  );
});
