import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { sha256 } from '../../../activities/artifacts/canonical-json.js';
import { keys } from '../../../activities/artifacts/store.js';
import { EnvironmentUnavailable } from '../../../activities/environments/environment.js';
import { createEnvironments } from '../../../activities/environments/registry.js';
import { HubUnavailable } from '../../../activities/policy/hub-models.js';
import { ModelFileInvalid } from '../../../activities/policy/weights/model-file-error.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { modelFileOf, openedRun, policyWeightsOf } from '../../../activities/run/run-context.js';
import { RunRef } from '../../../schemas/run.js';
import { tinyModel } from '../policy/tiny-models.js';
import { openInput, toyConfig, toyDependencies } from '../../support/run-on-paper.js';

test('opening a run commits what it is and returns what a workflow needs of it', async () => {
  const { dependencies, artifacts } = toyDependencies();
  const { run } = await createOpenRun(dependencies)(openInput('run-1', toyConfig));
  RunRef.parse(run);
  assert.deepEqual(
    [run.iterations, run.tasks, run.groupSize, run.shards, run.updateOrder, run.environment],
    [2, 3, 2, 2, 'reverse', 'toy/quickstart'],
  );
  assert.ok(artifacts.objects.has(keys.runManifest('run-1')));
  const manifest = await openedRun(artifacts, run, { iteration: 0 });
  assert.equal(manifest.model.sha256, sha256('toy weights'));
  assert.deepEqual(
    manifest.trainTasks.map(({ id }) => id),
    ['a', 'b', 'c'],
  );
  assert.deepEqual(manifest.config.lora, { rank: 8, alpha: 16 });
});

test('settings that cannot act are told to the workflow and stand in the manifest, for the report', async () => {
  const { dependencies, artifacts } = toyDependencies();
  const { run, inertSettings } = await createOpenRun(dependencies)(
    openInput('run-1', { ...toyConfig, algorithm: { name: 'gspo' } }),
  );
  assert.match(inertSettings.join('\n'), /^algorithm\.clip never acts/);
  assert.deepEqual((await openedRun(artifacts, run, { iteration: 0 })).inertSettings, inertSettings);
});

test('opening it again with the same configuration finds the same run, also from other code', async () => {
  const { dependencies } = toyDependencies();
  const first = await createOpenRun(dependencies)(openInput('run-1', toyConfig));
  assert.deepEqual(
    await createOpenRun({ ...dependencies, codeVersion: 'newer' })(openInput('run-1', toyConfig)),
    first,
  );
});

test('a model of a hub is fetched where the run is opened; opened again it stays with the commit that the branch pointed to', async () => {
  const { dependencies, artifacts } = toyDependencies();
  const tinyConfig = JSON.parse(readFileSync(path.join(tinyModel('llama-tied'), 'config.json'), 'utf8')) as object;
  for (const commit of ['one', 'two']) {
    mkdirSync(path.join(dependencies.modelsDir, 'hub', commit), { recursive: true });
    writeFileSync(
      path.join(dependencies.modelsDir, 'hub', commit, 'config.json'),
      JSON.stringify({ ...tinyConfig, _commit_hash: commit }),
    );
  }
  let branch = 'hub/one';
  const fetched: string[] = [];
  const fetchModel = async (model: string): Promise<string> => (
    fetched.push(model), model === 'hf://tiny/toy@main' ? branch : model
  );
  const open = () =>
    createOpenRun({ ...dependencies, fetchModel })(
      openInput('run-1', { ...toyConfig, model: { path: 'hf://tiny/toy@main' } }),
    );
  const first = await open();
  branch = 'hub/two';
  assert.deepEqual(await open(), first);
  assert.deepEqual(fetched, ['hf://tiny/toy@main', 'hub/one']);
  const manifest = await openedRun(artifacts, first.run, { iteration: 0 });
  assert.equal(modelFileOf(dependencies.modelsDir, manifest), path.join(dependencies.modelsDir, 'hub/one'));
});

test('settings of config.json that a run accepts are in its manifest and go to every worker; without them it is not opened', async () => {
  const { dependencies, artifacts } = toyDependencies();
  mkdirSync(path.join(dependencies.modelsDir, 'marked'));
  const tinyConfig = JSON.parse(readFileSync(path.join(tinyModel('llama-tied'), 'config.json'), 'utf8')) as object;
  writeFileSync(
    path.join(dependencies.modelsDir, 'marked', 'config.json'),
    JSON.stringify({ ...tinyConfig, my_mark: 1 }),
  );
  const open = (model: object) =>
    createOpenRun(dependencies)(openInput('run-1', { ...toyConfig, model: { path: 'marked', ...model } }));
  await assert.rejects(open({}), {
    name: 'BadConfig',
    message: /model\.path is "marked": .*has my_mark = 1.*"acceptSettings": \["my_mark"\]/,
  });
  const { run } = await open({ acceptSettings: ['my_mark'] });
  const manifest = await openedRun(artifacts, run, { iteration: 0 });
  assert.deepEqual(manifest.model.acceptSettings, ['my_mark']);
  assert.deepEqual(
    policyWeightsOf({ artifacts, modelsDir: dependencies.modelsDir }, manifest, {
      folded: [],
      adapter: null,
      moments: null,
      optimizerSteps: 0,
    }).model.acceptSettings,
    ['my_mark'],
  );
});

test('the same run id with another configuration is refused with the settings that differ', async () => {
  const { dependencies } = toyDependencies();
  await createOpenRun(dependencies)(openInput('run-1', toyConfig));
  await assert.rejects(
    createOpenRun(dependencies)(openInput('run-1', { ...toyConfig, seed: 2, optimizer: { learningRate: 1 } })),
    {
      name: 'ConflictingCommit',
      message:
        /"run-1".*2 place\(s\): optimizer.learningRate: stored 0.0003, given 1; seed: stored 1, given 2.*another workflow id/,
    },
  );
});

test('a run id that could leave its prefix is refused; one of a schedule, which ends in a time, is not', async () => {
  const { dependencies } = toyDependencies();
  for (const runId of ['../other', 'a/b', '', 'x'.repeat(129), 'a..b', '.a', 'a.', 'a b', 'ä', ':a']) {
    await assert.rejects(
      createOpenRun(dependencies)(openInput(runId)),
      { name: 'BadConfig', message: /workflow id.*must be 1 to 128/ },
      runId,
    );
  }
  for (const runId of ['nightly-2026-11-28T13:39:47Z', 'v1.2', 'x'.repeat(128)]) {
    assert.equal((await createOpenRun(dependencies)(openInput(runId))).run.runId, runId);
  }
});

test('a model path must be a file or a model directory below the models directory', async () => {
  const { dependencies } = toyDependencies();
  mkdirSync(path.join(dependencies.modelsDir, 'folder'));
  const open = (modelPath: string) =>
    createOpenRun(dependencies)(openInput('run-1', { ...toyConfig, model: { path: modelPath } }));
  for (const escape of ['../toy.gguf', '/etc/passwd', 'folder/../../x'])
    await assert.rejects(open(escape), { name: 'BadConfig', message: /below the models directory/ });
  await assert.rejects(open('none.gguf'), {
    name: 'BadConfig',
    message: /"none.gguf": there is no such file or directory in .*SEEUPO_MODELS_DIR/,
  });
  await assert.rejects(open('folder'), { name: 'BadConfig', message: /the directory has no config.json/ });
});

test('a run manifest that openRun did not write cannot lead a worker out of the models directory either', async () => {
  const { dependencies, artifacts } = toyDependencies();
  const { run } = await createOpenRun(dependencies)(openInput('run-1', toyConfig));
  const opened = await openedRun(artifacts, run, { iteration: 0 });
  const forged = (modelPath: string) => () =>
    modelFileOf(dependencies.modelsDir, { ...opened, model: { ...opened.model, path: modelPath } });
  assert.equal(forged('toy.gguf')(), path.join(dependencies.modelsDir, 'toy.gguf'));
  for (const escape of ['../toy.gguf', '/etc/passwd', 'folder/../../x', '.'])
    assert.throws(forged(escape), { name: 'ModelFileInvalid', message: /below the models directory/ });
});

test('problems with the model and with the tasks are listed together', async () => {
  const { dependencies } = toyDependencies();
  const config = { ...toyConfig, model: { path: 'none.gguf' }, rollout: { ...toyConfig.rollout, maxTurns: 1 } };
  await assert.rejects(createOpenRun(dependencies)(openInput('run-1', config)), {
    name: 'BadConfig',
    message: /2 problems:\n  - model.path.*\n  - rollout.maxTurns is 1/,
  });
});

test('a bad name of a hub, a damaged tokenizer and an unknown environment are told with every other problem', async () => {
  const { dependencies } = toyDependencies();
  const config = {
    ...toyConfig,
    model: { path: 'hf://tiny/none' },
    rollout: { ...toyConfig.rollout, maxTurns: 1 },
  };
  const fetchModel = async (model: string): Promise<string> => {
    throw new ModelFileInvalid(model, 'does not exist at the hub', 'Correct the name.');
  };
  const withoutModel = { ...dependencies, fetchModel };
  const model = 'model\\.path is "hf://tiny/none": does not exist at the hub\\. Correct the name\\.';
  const rejected = (message: string) => ({ name: 'BadConfig', message: new RegExp(`2 problems:\\n  - ${message}$`) });
  await assert.rejects(
    createOpenRun(withoutModel)(openInput('run-1', config)),
    rejected(`${model}\\n  - rollout\\.maxTurns is 1, but[^\\n]*`),
  );
  const environments = createEnvironments({ environmentRoots: [] });
  await assert.rejects(
    createOpenRun({ ...withoutModel, environments })(
      openInput('run-1', { ...config, environment: { name: 'chess', taskSet: 'x' } }),
    ),
    rejected(`${model}\\n  - environment\\.name: "chess" is unknown[^\\n]*`),
  );
  const codec = async () => {
    throw new ModelFileInvalid('toy/tokenizer.json', 'ends too early', 'Download it again.');
  };
  await assert.rejects(
    createOpenRun({ ...dependencies, codec })(openInput('run-1', { ...config, model: toyConfig.model })),
    rejected(
      'model\\.path is "toy\\.gguf": model file toy/tokenizer\\.json: ends too early[^\\n]*\\n  - rollout\\.maxTurns[^\\n]*',
    ),
  );
  // A hub that does not answer is waited for.
  const unavailable = async (): Promise<string> => {
    throw new HubUnavailable('down');
  };
  await assert.rejects(createOpenRun({ ...dependencies, fetchModel: unavailable })(openInput('run-1', toyConfig)), {
    name: 'HubUnavailable',
  });
});

test('an environment that is down is waited for, unless the configuration is wrong anyway', async () => {
  const { dependencies } = toyDependencies();
  const listTasks = async () => {
    throw new EnvironmentUnavailable('down');
  };
  const down = { ...dependencies, environments: () => ({ ...dependencies.environments('toy', {}), listTasks }) };
  await assert.rejects(createOpenRun(down)(openInput('run-1', toyConfig)), { name: 'EnvironmentUnavailable' });
  await assert.rejects(createOpenRun(down)(openInput('run-1', { ...toyConfig, model: { path: 'none' } })), {
    name: 'BadConfig',
  });
});

test('longer responses than the model can read are refused', async () => {
  const { dependencies } = toyDependencies();
  const config = { ...toyConfig, rollout: { ...toyConfig.rollout, maxResponseTokens: 4096 } };
  await assert.rejects(createOpenRun(dependencies)(openInput('run-1', config)), {
    name: 'BadConfig',
    message: /maxResponseTokens is 4096, but the model reads only 4096/,
  });
});

test('weights of a state are read from the store only when the policy asks', async () => {
  const { dependencies, artifacts } = toyDependencies();
  const { run } = await createOpenRun(dependencies)(openInput('run-1', toyConfig));
  const adapter = await artifacts.putBlob(Buffer.from('adapter'));
  const state = { folded: [adapter], adapter, moments: null, optimizerSteps: 0 };
  const weights = policyWeightsOf(dependencies, await openedRun(artifacts, run, { iteration: 0 }), state);
  assert.equal(weights.model.path, path.join(dependencies.modelsDir, 'toy.gguf'));
  assert.equal(weights.mergedAdapters[0]!.sha256, adapter.sha256);
  assert.equal(Buffer.from(await weights.adapter!.read()).toString(), 'adapter');
});
