import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { writeMergedModel } from '../../../activities/policy/weights/merged-model.js';
import { jointAdapter, readPeftAdapter, writePeftAdapter } from '../../../activities/policy/weights/peft-adapter.js';
import { readSafetensors, writeSafetensors } from '../../../activities/policy/weights/safetensors.js';
import { configOfModel, tiny, tinyAdapter, tinyModel, tinyWeights } from './tiny-models.js';

const policy = new TensorFlowPolicy();
const { prompt, response, temperature, rank, alpha } = tiny;
const sequence = { prefixGroup: 'a', promptIds: prompt, responseIds: response };
const scored = async (weights: 'current' | 'reference'): Promise<number[]> =>
  (await policy.logProbs([sequence], { temperature, microBatchTokens: 1024, weights }))[0]!;
const largest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'seeupo-export-'));
});
after(() => rm(folder, { recursive: true }));

/** The adapter of the fixtures as a PEFT directory. */
async function peftDirectory(model: string): Promise<string> {
  const config = await configOfModel(tinyModel(model));
  const directory = await mkdtemp(path.join(folder, 'peft-'));
  const joint = jointAdapter([await tinyAdapter(config).read()], config, { rank, alpha });
  await writePeftAdapter(directory, tinyModel(model), joint.lora, joint.tensors);
  return directory;
}

for (const model of ['llama-untied', 'qwen2-tied', 'qwen3-untied', 'llama.gguf', 'qwen3.gguf']) {
  test(`${model}: the exported adapter, and the merged model by itself, have the log-probs that PyTorch computed with that adapter`, async () => {
    const source = tinyModel(model);
    const expected = tiny.models[model]!.lora.logProbs;
    const { lora, adapter } = await readPeftAdapter(await peftDirectory(model), await configOfModel(source));
    assert.deepEqual(lora, { rank, alpha });
    await policy.use({ ...(await tinyWeights(source, adapter)), lora });
    assert.ok(largest(await scored('current'), expected) < 1e-4);

    const merged = path.join(folder, `merged-${model}`);
    const tensors = [...readSafetensors(await adapter.read()).tensors.values()];
    if (!model.endsWith('.gguf')) {
      await writeMergedModel(source, { lora, tensors }, merged, undefined, 30_000);
      assert.ok((await readdir(merged)).filter((name) => name.endsWith('.safetensors')).length > 2, 'sharded');
    } else await writeMergedModel(source, { lora, tensors }, merged);
    await policy.use(await tinyWeights(merged));
    assert.ok(largest(await scored('reference'), expected) < 1e-4);
  });
}

test('adapters merged one after another act as the one joint adapter, whose scale is theirs', async () => {
  const source = tinyModel('qwen3-tied');
  const config = await configOfModel(source);
  const first = tinyAdapter(config);
  // Another one: the first times -3.
  const bytes = writeSafetensors(
    [...readSafetensors(await first.read()).tensors.values()].map((t) => ({
      ...t,
      values: t.values.map((value) => -3 * value),
    })),
  );
  const second = { sha256: 'f'.repeat(64), read: async () => bytes };
  await policy.use({ ...(await tinyWeights(source, second)), mergedAdapters: [first] });
  const apart = await scored('current');
  const joint = jointAdapter([await first.read(), bytes], config, { rank, alpha });
  assert.deepEqual(joint.lora, { rank: 2 * rank, alpha: 2 * alpha });
  const together = writeSafetensors(joint.tensors);
  await policy.use({
    ...(await tinyWeights(source, { sha256: 'e'.repeat(64), read: async () => together })),
    lora: joint.lora,
  });
  assert.ok(largest(await scored('current'), apart) < 1e-5);
});

test('an adapter of another model, of another kind or half there is refused with what is wrong', async () => {
  const directory = await peftDirectory('qwen3-tied');
  const config = await configOfModel(tinyModel('qwen3-tied'));
  await assert.rejects(readPeftAdapter(directory, await configOfModel(tinyModel('qwen2-tied'))), {
    name: 'ModelFileInvalid',
    message: /tensor \S+lora_B\.weight has shape \[64, 4\], expected \[32, 4\]/,
  });
  await assert.rejects(
    readPeftAdapter(directory, { ...config, layers: 1 }),
    /has tensor \S+layers\.1\.\S+, which an adapter of this model does not have/,
  );
  await assert.rejects(readPeftAdapter(folder, config), /adapter_config\.json: does not exist/);

  const file = path.join(directory, 'adapter_config.json');
  const settings = JSON.parse(await readFile(file, 'utf8')) as object;
  const changed = async (change: object): Promise<string> => {
    const copy = await mkdtemp(path.join(folder, 'changed-'));
    await cp(directory, copy, { recursive: true });
    await writeFile(path.join(copy, 'adapter_config.json'), JSON.stringify({ ...settings, ...change }));
    return copy;
  };
  for (const change of [
    { use_dora: true },
    { use_rslora: true },
    { peft_type: 'IA3' },
    { modules_to_save: ['lm_head'] },
    { rank_pattern: { q_proj: 2 } },
    { bias: 'all' },
  ]) {
    await assert.rejects(
      readPeftAdapter(await changed(change), config),
      new RegExp(`has ${Object.keys(change)[0]} = .*which is not computed`),
    );
  }
  const half = await changed({});
  const { tensors } = readSafetensors(await readFile(path.join(half, 'adapter_model.safetensors')));
  await writeFile(path.join(half, 'adapter_model.safetensors'), writeSafetensors([...tensors.values()].slice(1)));
  await assert.rejects(readPeftAdapter(half, config), /lacks tensor \S+lora_A\.weight, but has \S+lora_B\.weight/);
  // Both halves gone is a module that the adapter leaves alone.
  await writeFile(path.join(half, 'adapter_model.safetensors'), writeSafetensors([...tensors.values()].slice(2)));
  const { adapter } = await readPeftAdapter(half, config);
  assert.ok(
    readSafetensors(await adapter.read())
      .tensors.get([...tensors.keys()][1]!)!
      .values.every((value) => value === 0),
  );
});
