import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import { HubModels } from '../../../activities/policy/hub-models.js';
import { modelFingerprint } from '../../../activities/policy/model-files.js';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { startHub } from '../../support/hub-server.js';
import { root } from '../../support/root.js';
import { tiny, tinyModel, tinyWeights } from './tiny-models.js';

const COMMIT = 'a'.repeat(40);
const SECRET = 'hf_notForLogs';
const SHARD = 'model-00002-of-00003.safetensors';
const filesOf = (model: string): Record<string, Uint8Array> =>
  Object.fromEntries(
    readdirSync(tinyModel(model)).map((name) => [name, readFileSync(path.join(tinyModel(model), name))]),
  );
const sharded: Record<string, Uint8Array> = {
  ...filesOf('qwen3-untied'),
  'README.md': Buffer.from('not needed'),
  'pytorch_model.bin': Buffer.alloc(5000),
};
const { [SHARD]: _, ...shardMissing } = sharded;
const withSettings = (change: object): Record<string, Uint8Array> => {
  const files = filesOf('llama-tied');
  return {
    ...files,
    'config.json': Buffer.from(
      JSON.stringify({ ...(JSON.parse(Buffer.from(files['config.json']!).toString()) as object), ...change }),
    ),
  };
};

let hub: Awaited<ReturnType<typeof startHub>>;
let modelsDir: string;
before(async () => {
  const revisions = { main: COMMIT, 'v1.0': 'b'.repeat(40) };
  hub = await startHub({
    'tiny/qwen3': { files: sharded, revisions },
    'tiny/llama': { files: filesOf('llama-tied'), revisions },
    'tiny/gated': { files: filesOf('llama-tied'), revisions, token: SECRET },
    'tiny/pickle': { files: { 'config.json': Buffer.from('{}'), 'pytorch_model.bin': Buffer.alloc(5000) }, revisions },
    'tiny/strange': { files: withSettings({ my_mark: 1 }), revisions },
    'tiny/awq': { files: withSettings({ quantization_config: { quant_method: 'awq', bits: 4 } }), revisions },
    'tiny/gguf': { files: { 'model-Q4_K_M.gguf': Buffer.alloc(100) }, revisions },
    'tiny/no-shard': { files: shardMissing, revisions },
  });
});
after(() => hub.stop());
beforeEach(async () => {
  modelsDir = await mkdtemp(path.join(tmpdir(), 'seeupo-hub-'));
});
afterEach(async () => {
  hub.mishaps.length = hub.asked.length = 0;
  await rm(modelsDir, { recursive: true });
});
const models = (token: string | null = null) => new HubModels(modelsDir, { endpoint: hub.endpoint, token });
const contentOf = (file: string) => hub.asked.filter((asked) => asked.file === file);

test('a sharded model arrives as the directory that it is, without what no model needs, and computes what it computes', async () => {
  const steps: number[] = [];
  const relative = await models().fetch(
    'hf://tiny/qwen3',
    ({ phase, done, of }) => void (phase === 'download' && steps.push(done / of)),
  );
  assert.equal(relative, `hub/tiny/qwen3/${COMMIT}`);
  const folder = path.join(modelsDir, relative);
  assert.deepEqual(await modelFingerprint(folder), await modelFingerprint(tinyModel('qwen3-untied')));
  assert.ok(!(await readdir(folder)).some((name) => /README|\.bin|\.part/.test(name)));
  assert.ok(steps.every((share, i) => i === 0 || share >= steps[i - 1]!) && steps.at(-1) === 1);
  const policy = new TensorFlowPolicy();
  await policy.use(await tinyWeights(folder));
  const [logProbs] = await policy.logProbs(
    [{ prefixGroup: 'a', promptIds: tiny.ids.slice(0, 1), responseIds: tiny.ids.slice(1) }],
    { temperature: 1, microBatchTokens: 1024, weights: 'reference' },
  );
  tiny.models['qwen3-untied']!.logProbs.forEach((value, i) => assert.ok(Math.abs(value - logProbs![i]!) < 1e-4));
});

test('what is there is not asked for again: a commit, or the path that a run has stored, without any request', async () => {
  const relative = await models().fetch(`hf://tiny/llama@${COMMIT}`);
  const offline = new HubModels(modelsDir, { endpoint: 'http://127.0.0.1:1', token: null });
  assert.equal(await offline.fetch(`hf://tiny/llama@${COMMIT}`), relative);
  assert.equal(await offline.fetch(relative), relative);
  hub.asked.length = 0;
  assert.equal(await models().fetch('hf://tiny/llama@main'), relative);
  assert.deepEqual(hub.asked, []);
});

test('a path that a run has stored brings the same model to a machine that lacks it; other paths are left alone', async () => {
  const relative = `hub/tiny/llama/${COMMIT}`;
  assert.equal(await models().fetch(relative), relative);
  assert.ok((await stat(path.join(modelsDir, relative, 'model.safetensors'))).isFile());
  assert.equal(await models().fetch('SmolLM2-135M-Instruct.gguf'), 'SmolLM2-135M-Instruct.gguf');
  assert.equal(await models().fetch('hub/of/mine'), 'hub/of/mine');
});

test('a download that breaks off says so and goes on from the byte where it ended', async () => {
  hub.mishaps.push({ file: SHARD, kind: 'break-off', after: 2000 });
  await assert.rejects(models().fetch('hf://tiny/qwen3'), {
    name: 'HubUnavailable',
    message: /model-00002-of-00003\.safetensors.*(kept|goes on from there)/,
  });
  assert.deepEqual(
    await readdir(path.join(modelsDir, 'hub/tiny/qwen3')),
    [`${COMMIT}.partial`],
    'nothing half-done has the name of a model, and no lock is left',
  );
  const first = contentOf('model-00001-of-00003.safetensors').length;
  await models().fetch('hf://tiny/qwen3');
  assert.deepEqual(
    contentOf(SHARD).map(({ from }) => from),
    [0, 2000],
  );
  assert.equal(contentOf('model-00001-of-00003.safetensors').length, first, 'whole files are kept');
  assert.deepEqual(
    await modelFingerprint(path.join(modelsDir, `hub/tiny/qwen3/${COMMIT}`)),
    await modelFingerprint(tinyModel('qwen3-untied')),
  );
});

for (const file of [SHARD, 'config.json']) {
  test(`a bit that fell over on the way is seen by the hub's checksum (${file}), and the file is fetched anew`, async () => {
    hub.mishaps.push({ file, kind: 'damage', after: 700 });
    await assert.rejects(models().fetch('hf://tiny/qwen3'), {
      name: 'HubUnavailable',
      message: new RegExp(`${file.replaceAll('.', '\\.')} arrived with checksum [0-9a-f]{40,64}.*the hub says`),
    });
    await models().fetch('hf://tiny/qwen3');
    assert.deepEqual(
      contentOf(file).map(({ from }) => from),
      [0, 0],
    );
  });
}

test('two at once download once', async () => {
  const [one, two] = await Promise.all([models().fetch('hf://tiny/qwen3'), models().fetch('hf://tiny/qwen3')]);
  assert.equal(one, two);
  assert.equal(contentOf(SHARD).length, 1);
});

test('the lock of a process that is gone holds nobody up', async () => {
  const lock = path.join(modelsDir, `hub/tiny/llama/${COMMIT}.lock`);
  mkdirSync(lock, { recursive: true });
  utimesSync(lock, new Date(Date.now() - 60_000), new Date(Date.now() - 60_000));
  await models().fetch('hf://tiny/llama');
});

test('a gated model needs its token, which goes to the hub and into no message', async () => {
  await assert.rejects(models().fetch('hf://tiny/gated'), {
    name: 'ModelFileInvalid',
    message: /without a token \(status 401\).*Set HF_TOKEN/,
  });
  await assert.rejects(
    models('hf_wrong').fetch('hf://tiny/gated'),
    (error: Error) => /with this HF_TOKEN \(status 403\)/.test(error.message) && !error.message.includes('hf_wrong'),
  );
  await assert.rejects(
    models('secret').fetch('hf://tiny/gated'),
    (error: Error) =>
      error.name === 'ModelFileInvalid' &&
      /HF_TOKEN does not begin with hf_/.test(error.message) &&
      !error.message.includes('secret'),
  );
  await models(SECRET).fetch('hf://tiny/gated');
  assert.ok(contentOf('config.json').every(({ token }) => token === SECRET));
});

test('score takes hf://, from the hub that HF_ENDPOINT names and with HF_TOKEN; neither standard output nor error tells the token', async () => {
  const run = promisify(execFile)(
    process.execPath,
    [path.join(root, 'dist/scripts/score.js'), '--model', 'hf://tiny/gated@v1.0'],
    {
      cwd: root,
      env: { ...process.env, HF_ENDPOINT: hub.endpoint, HF_TOKEN: SECRET, SEEUPO_MODELS_DIR: modelsDir },
    },
  );
  run.child.stdin!.end(`${JSON.stringify({ ids: tiny.ids })}\n`);
  const { stdout, stderr } = await run;
  const { logprobs } = JSON.parse(stdout) as { logprobs: number[] };
  logprobs.forEach((value, i) => assert.ok(Math.abs(value - tiny.models['llama-tied']!.logProbs[i]!) < 1e-4));
  assert.match(stderr, /hf:\/\/tiny\/gated@v1\.0: 100 % of/);
  assert.ok(!`${stdout}${stderr}`.includes(SECRET));
  assert.deepEqual(await readdir(path.join(modelsDir, 'hub/tiny/gated')), ['b'.repeat(40)]);
});

test('a config.json that is refused is so before any weight is asked for, and nothing of the model stays; what is accepted by name comes', async () => {
  await assert.rejects(models().fetch('hf://tiny/strange'), {
    name: 'ModelFileInvalid',
    message: /hf:\/\/tiny\/strange, config\.json: has my_mark = 1.*--accept-setting my_mark/,
  });
  await assert.rejects(models().fetch('hf://tiny/awq'), {
    name: 'ModelFileInvalid',
    message: /quantised to 4 bits by awq/,
  });
  assert.deepEqual(contentOf('model.safetensors'), []);
  for (const name of ['strange', 'awq']) assert.deepEqual(await readdir(path.join(modelsDir, 'hub/tiny', name)), []);
  const relative = await models().fetch('hf://tiny/strange', undefined, ['my_mark']);
  assert.ok((await stat(path.join(modelsDir, relative, 'model.safetensors'))).isFile());
});

test('what cannot be had is named: no such model or revision, pickled weights, a missing shard, a reference that is none, a hub that is away', async () => {
  const cases: [string, string, RegExp][] = [
    [
      'hf://tiny/nothing',
      'ModelFileInvalid',
      /hf:\/\/tiny\/nothing: does not exist at http.*status 404.*hf:\/\/owner\/name@revision/,
    ],
    ['hf://tiny/llama@v9', 'ModelFileInvalid', /hf:\/\/tiny\/llama@v9: does not exist/],
    [
      'hf://tiny/pickle',
      'ModelFileInvalid',
      /has neither model\.safetensors nor model\.safetensors\.index\.json.*pickled/,
    ],
    [
      'hf://tiny/gguf',
      'ModelFileInvalid',
      /has no config\.json\. Download the GGUF file that you want, e\.g\. model-Q4_K_M\.gguf/,
    ],
    ['hf://tiny/no-shard', 'ModelFileInvalid', /lacks the shard model-00002-of-00003\.safetensors/],
    ['hf://tiny', 'ModelFileInvalid', /is no reference to a hub.*hf:\/\/owner\/name@revision/],
    ['hf://../..@main', 'ModelFileInvalid', /is no reference/],
  ];
  for (const [model, name, message] of cases) await assert.rejects(models().fetch(model), { name, message });
  await assert.rejects(
    new HubModels(modelsDir, { endpoint: 'http://127.0.0.1:1', token: null }).fetch('hf://tiny/llama'),
    { name: 'HubUnavailable', message: /cannot be read \(.*\): try again/ },
  );
  hub.mishaps.push({ file: 'config.json', kind: 'status-503' });
  await assert.rejects(models().fetch('hf://tiny/llama'), { name: 'HubUnavailable', message: /503|broke off/ });
});
