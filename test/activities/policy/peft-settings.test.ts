import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { readPeftAdapter } from '../../../activities/policy/weights/peft-adapter.js';
import { loraOfPeftSettings } from '../../../activities/policy/weights/peft-settings.js';
import { root } from '../../support/root.js';
import { configOfModel, tinyWeights } from './tiny-models.js';

/** Oracle: PEFT 0.21.2 on the same files (fixtures/make_peft.py). */
const fixtures = path.join(root, 'test/activities/policy/fixtures/peft');
const base = path.join(fixtures, 'base');
const json = (...names: string[]): unknown => JSON.parse(readFileSync(path.join(fixtures, ...names), 'utf8'));
const settings = json('default', 'adapter_config.json') as Record<string, unknown>;

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'seeupo-peft-'));
});
after(() => rm(folder, { recursive: true }));

const policy = new TensorFlowPolicy();
async function logProbs(directory: string, ids: readonly number[]): Promise<number[]> {
  const { lora, adapter } = await readPeftAdapter(directory, await configOfModel(base));
  await policy.use({ ...(await tinyWeights(base, adapter)), lora });
  return (
    await policy.logProbs([{ prefixGroup: 'a', promptIds: ids.slice(0, 1), responseIds: ids.slice(1) }], {
      temperature: 1,
      microBatchTokens: 1024,
      weights: 'current',
    })
  )[0]!;
}
const largest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

for (const name of [
  'default',
  'exclude',
  'layers',
  'parameters',
  'mica',
  'eva',
  'converted-pissa',
  'converted-olora',
]) {
  test(`peft/${name}: log-probs are those of PEFT`, async () => {
    const { ids, right_logprobs: right } = json(name, 'right.json') as { ids: number[]; right_logprobs: number[] };
    const found = await logProbs(path.join(fixtures, name), ids);
    assert.equal(found.length, right.length);
    assert.ok(largest(found, right) < 5e-5, `largest difference ${largest(found, right)}`);
  });
}

test('peft/pissa is refused with what to do', async () => {
  await assert.rejects(readPeftAdapter(path.join(fixtures, 'pissa'), await configOfModel(base)), {
    name: 'ModelFileInvalid',
    message:
      /pissa\/adapter_config\.json: has init_lora_weights = "pissa", which moved the weights of the base.*path_initial_model_for_weight_conversion.*merge_and_unload/,
  });
});

/** What one setting changes in PEFT's log-probs of the same tensors, nats; or it does not load. */
const changes = json('settings.json') as [key: string, value: unknown, difference: number | 'raises'][];
const accepted = ([key, value]: [string, unknown, unknown]): boolean => {
  try {
    loraOfPeftSettings('adapter_config.json', { ...settings, [key]: value });
    return true;
  } catch (error) {
    assert.equal((error as Error).name, 'ModelFileInvalid');
    assert.ok(
      (error as Error).message.startsWith(
        `model file adapter_config.json: has ${key} = ${JSON.stringify(value)}, which`,
      ),
      (error as Error).message,
    );
    return false;
  }
};

test('every setting that changes what PEFT computes from the same tensors, or that it does not load, is refused by its name', () => {
  for (const change of changes) if (change[2] !== 0) assert.equal(accepted(change), false, JSON.stringify(change));
});

test('settings that change nothing pass, but for those that bring tensors or steps of their own where they were trained', () => {
  // Biases, samplers and projections of these are no part of the tensors here; LoRA-GA moved the base when training began.
  const ownTensors = new Set(['bias', 'lora_bias', 'use_qalora', 'velora_config', 'monteclora_config']);
  for (const change of changes) {
    if (change[2] !== 0) continue;
    assert.equal(accepted(change), !ownTensors.has(change[0]) && change[1] !== 'lora_ga', JSON.stringify(change));
  }
});

test('fields that PEFT does not have yet pass if they are unset, and are refused by name if they are set', () => {
  const unknown = (value: unknown): [string, unknown, null] => ['new_variant', value, null];
  for (const value of [null, false, '', [], {}]) assert.ok(accepted(unknown(value)), JSON.stringify(value));
  for (const value of [true, 1, 'x', [0], { a: null }]) assert.ok(!accepted(unknown(value)), JSON.stringify(value));
  // As PEFT 0.5 wrote it: fields of today are missing.
  assert.deepEqual(
    loraOfPeftSettings('f', {
      peft_type: 'LORA',
      r: 4,
      lora_alpha: 8,
      bias: 'none',
      init_lora_weights: true,
      target_modules: ['q_proj'],
    }),
    { rank: 4, alpha: 8 },
  );
});

test('ranks and alphas by module pass where all are the same, as EVA lists them', () => {
  assert.ok(accepted(['rank_pattern', { 'layers.0.self_attn.q_proj': 4, 'layers.1.self_attn.q_proj': 4 }, null]));
  assert.ok(accepted(['alpha_pattern', { q_proj: 8 }, null]));
  assert.ok(!accepted(['rank_pattern', { q_proj: 4, k_proj: 2 }, null]));
});

test('pickled weights, and patterns that list every module, are refused in a line', async () => {
  const copy = await mkdtemp(path.join(folder, 'pickled-'));
  await cp(path.join(fixtures, 'default'), copy, { recursive: true });
  await rename(path.join(copy, 'adapter_model.safetensors'), path.join(copy, 'adapter_model.bin'));
  await assert.rejects(readPeftAdapter(copy, await configOfModel(base)), {
    name: 'ModelFileInvalid',
    message: /adapter_model\.bin: holds pickled weights, which are not read.*save_pretrained it/,
  });
  const ranks = Object.fromEntries(
    Array.from({ length: 200 }, (_, layer) => [`layers.${layer}.self_attn.q_proj`, layer + 1]),
  );
  assert.throws(
    () => loraOfPeftSettings('f', { ...settings, rank_pattern: ranks }),
    (error: Error) =>
      error.message.length < 500 &&
      /has rank_pattern = .*\.\.\., which is not computed; one of 4 for all is/.test(error.message),
  );
});

test('ways to begin that move the base say so in any spelling; others that are not known say what to find out', () => {
  const refusal = (began: unknown) => {
    try {
      loraOfPeftSettings('f', { ...settings, init_lora_weights: began });
    } catch (error) {
      return (error as Error).message;
    }
    return 'accepted';
  };
  for (const began of ['pissa', 'PiSSA', 'pissa_niter_16', 'olora', 'OLoRA', 'corda', 'lora_ga'])
    assert.match(refusal(began), /moved the weights.*path_initial_model_for_weight_conversion/, began);
  assert.match(refusal('loftq'), /LoftQ quantised.*Merge it with PEFT/);
  for (const began of ['sva', 1, ['pissa'], { pissa: true }, 'EVA'])
    assert.match(refusal(began), /not known here.*if it did not, set it to true/, JSON.stringify(began));
});

test('an adapter saved otherwise than its settings say is still read by its tensors alone', async () => {
  const copy = await mkdtemp(path.join(folder, 'moved-'));
  await cp(path.join(fixtures, 'exclude'), copy, { recursive: true });
  const said = JSON.parse(await readFile(path.join(copy, 'adapter_config.json'), 'utf8')) as object;
  await writeFile(
    path.join(copy, 'adapter_config.json'),
    JSON.stringify({ ...said, exclude_modules: null, target_modules: 'all-linear' }),
  );
  const { ids, right_logprobs: right } = json('exclude', 'right.json') as { ids: number[]; right_logprobs: number[] };
  assert.ok(largest(await logProbs(copy, ids), right) < 5e-5);
});
