import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { moduleNames } from '../../../activities/policy/model-config.js';
import { modelFingerprint } from '../../../activities/policy/model-files.js';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { openModel } from '../../../activities/policy/weights/open-model.js';
import { readSafetensors } from '../../../activities/policy/weights/safetensors.js';
import { GuardConfig } from '../../../schemas/train-config.js';
import { updatePool } from '../../../activities/turn-update/update-pool.js';
import { adapterLayout } from '../../../activities/policy/lora.js';
import { configOfModel, tiny, tinyAdapter, tinyModel, tinyWeights } from './tiny-models.js';
import { algorithmOf, poolOf, torch } from './torch-objectives.js';

/** Oracle: transformers and PyTorch on the same weights (fixtures/make_tiny_models.py, make_objectives.py). */
const policy = new TensorFlowPolicy();
const scoring = { temperature: 1, microBatchTokens: 1024 };

const largest = (ours: readonly number[], theirs: readonly number[]): number =>
  Math.max(...theirs.map((value, i) => Math.abs(value - ours[i]!)));

for (const [name, expected] of Object.entries(tiny.models)) {
  test(`${name}: log-probs of every token, the last position's whole distribution, greedy tokens and the sampler's log-probs are those of transformers`, async () => {
    await policy.use(await tinyWeights(tinyModel(name)));
    const { ids, prompt } = tiny;
    const [ours] = await policy.logProbs(
      [{ prefixGroup: 'a', promptIds: ids.slice(0, 1), responseIds: ids.slice(1) }],
      {
        ...scoring,
        weights: 'reference',
      },
    );
    assert.ok(
      largest(ours!, expected.logProbs) < 1e-4,
      `log-probs: largest difference ${largest(ours!, expected.logProbs)}`,
    );

    const every = expected.lastLogits.map((_, id) => ({ prefixGroup: 'a', promptIds: ids, responseIds: [id] }));
    const last = (await policy.logProbs(every, { ...scoring, weights: 'reference' })).flat();
    const lse = Math.log(expected.lastLogits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    assert.ok(
      largest(
        last,
        expected.lastLogits.map((logit) => logit - lse),
      ) < 1e-4,
    );

    const [greedy] = await policy.sample([{ prefixGroup: 'a', promptIds: prompt, randomKey: 'greedy' }], {
      temperature: 1e-4,
      maxResponseTokens: 16,
    });
    assert.deepEqual(greedy!.ids, expected.greedy.slice(0, greedy!.ids.length));
    assert.ok(greedy!.ids.length === 16 || greedy!.end === 'end-of-turn');

    const sampled = await policy.sample(
      [0, 1, 2].map((i) => ({ prefixGroup: 'a', promptIds: prompt.slice(i), randomKey: `k/${i}` })),
      { temperature: 0.9, maxResponseTokens: 8 },
    );
    const again = await policy.logProbs(
      sampled.map((response, i) => ({ prefixGroup: 'a', promptIds: prompt.slice(i), responseIds: response.ids })),
      { temperature: 0.9, microBatchTokens: 1024, weights: 'current' },
    );
    sampled.forEach((response, i) => assert.ok(largest(response.logProbs, again[i]!) < 1e-4));
  });

  test(`${name}: the norm of every LoRA gradient and the loss after one AdamW step are those of PyTorch within 1e-4`, async () => {
    const { prompt, response, temperature } = tiny;
    const config = await configOfModel(tinyModel(name));
    const weights = await tinyWeights(tinyModel(name), tinyAdapter(config));
    const sequence = { prefixGroup: 'a', promptIds: prompt, responseIds: response };
    const meanLoss = (_: readonly number[], rows: readonly (readonly number[])[]) =>
      rows.map((row) => row.map(() => -1 / row.length));
    await policy.use(weights);
    await policy.useMoments(null, 0);
    // With betas of 0 and no clipping the first moment after a step is the gradient itself.
    await policy.step([sequence], meanLoss, {
      ...scoring,
      temperature,
      learningRate: 1e-9,
      betas: [0, 0],
      epsilon: 1e-8,
      weightDecay: 0,
      maxGradientNorm: null,
    });
    const { tensors } = readSafetensors((await policy.trained()).moments);
    for (let layer = 0; layer < config.layers; layer++) {
      for (const module of moduleNames) {
        (['A', 'B'] as const).forEach((which, i) => {
          const { values } = tensors.get(
            `first.base_model.model.model.layers.${layer}.${module}.lora_${which}.weight`,
          )!;
          const norm = Math.sqrt(values.reduce((total, value) => total + value * value, 0));
          const wanted = expected.lora.norms[`${layer}.${module}`]![i]!;
          assert.ok(
            Math.abs(norm - wanted) < 1e-4 * wanted,
            `layer ${layer} ${module} ${which}: norm ${norm}, PyTorch ${wanted}`,
          );
        });
      }
    }
    await policy.use(weights);
    await policy.useMoments(null, 0);
    const step = await policy.step([sequence], meanLoss, {
      ...scoring,
      temperature,
      learningRate: 1e-3,
      betas: [0.9, 0.95],
      epsilon: 1e-8,
      weightDecay: 0.01,
      maxGradientNorm: 1,
    });
    assert.ok(largest(step.logProbs[0]!, expected.lora.logProbs) < 1e-4);
    assert.ok(Math.abs(step.gradientNorm / expected.lora.gradientNorm - 1) < 1e-4);
    const [stepped] = await policy.logProbs([sequence], { ...scoring, temperature, weights: 'current' });
    const loss = -stepped!.reduce((sum, value) => sum + value, 0) / stepped!.length;
    assert.ok(
      Math.abs(loss / expected.lora.lossAfterOneStep - 1) < 1e-4,
      `loss ${loss}, PyTorch ${expected.lora.lossAfterOneStep}`,
    );
  });
}

for (const [name, model] of Object.entries(torch.models)) {
  test(`${name}: entropies and values of every token are those of PyTorch within 1e-5`, async () => {
    await policy.use(await tinyWeights(tinyModel(name), tinyAdapter(await configOfModel(tinyModel(name)))));
    await policy.useMoments(null, 0);
    const sequences = poolOf(model, { name: 'ppo' }).map(({ taskId, promptIds, responseIds }) => ({
      prefixGroup: taskId,
      promptIds,
      responseIds,
    }));
    const values = await policy.values(sequences, model.valueHead, scoring);
    assert.ok(largest(values.flat(), model.values.flat()) < 1e-5 * Math.max(...model.values.flat().map(Math.abs)));
    const seen: { entropies: number[][]; values: number[][] } = { entropies: [], values: [] };
    await policy.step(
      sequences,
      (indices, rows, measures) => {
        indices.forEach((i, n) => {
          seen.entropies[i] = [...measures.entropies[n]!];
          seen.values[i] = [...measures.values![n]!];
        });
        return rows.map((row) => row.map(() => 0));
      },
      {
        ...scoring,
        temperature: tiny.temperature,
        learningRate: 1e-9,
        betas: [0, 0],
        epsilon: 1e-8,
        weightDecay: 0,
        maxGradientNorm: null,
        valueHead: model.valueHead,
      },
    );
    assert.ok(largest(seen.entropies.flat(), model.entropies.flat()) < 1e-5 * Math.max(...model.entropies.flat()));
    assert.deepEqual(seen.values, values);
  });

  for (const { config, loss, norm, dot, valueHeadGradient } of model.algorithms) {
    test(`${name}: the update of a pool has PyTorch's loss and gradient, adapter and value head: ${JSON.stringify(config)}`, async () => {
      const algorithm = algorithmOf(config);
      const adapter = tinyAdapter(await configOfModel(tinyModel(name)));
      await policy.use(await tinyWeights(tinyModel(name), adapter));
      await policy.useMoments(null, 0);
      // With betas of 0 and no clipping the first moment after a step is the gradient itself.
      const optimizer = {
        learningRate: 1e-9,
        betas: [0, 0] as [number, number],
        epsilon: 1e-8,
        weightDecay: 0,
        maxGradientNorm: null,
      };
      const valueHead =
        algorithm.name === 'ppo' ? { weights: model.valueHead, first: [], second: [], steps: 0 } : undefined;
      const { metrics, valueHead: stepped } = await updatePool(
        policy,
        poolOf(model, algorithm),
        {
          turn: 1,
          algorithm,
          optimizer,
          guard: GuardConfig.parse({}),
          temperature: tiny.temperature,
          microBatchTokens: 80,
          maxResponseTokens: torch.longest,
          randomKey: 'k',
          unmoved: false,
          ...(valueHead && { valueHead }),
        },
        () => undefined,
      );
      assert.ok(Math.abs(metrics.loss - loss) <= 1e-5 * Math.abs(loss), `loss ${metrics.loss}, PyTorch ${loss}`);
      assert.ok(Math.abs(metrics.gradientNorm / norm - 1) < 1e-5, `norm ${metrics.gradientNorm}, PyTorch ${norm}`);
      const { tensors } = readSafetensors((await policy.trained()).moments);
      let [at, product] = [0, 0];
      for (const { name: tensor } of adapterLayout(await configOfModel(tinyModel(name)), {
        rank: tiny.rank,
        alpha: tiny.alpha,
      }).tensors) {
        for (const value of tensors.get(`first.${tensor}`)!.values) product += value * Math.sin(0.01 * at++);
      }
      assert.ok(Math.abs(product - dot) < 1e-5 * norm * Math.sqrt(at / 2), `product ${product}, PyTorch ${dot}`);
      if (stepped) assert.ok(largest(stepped.first, valueHeadGradient) < 1e-5 * Math.hypot(...valueHeadGradient));
    });
  }
}

test('loading other models, whole and broken, and using them leaves the tensor count where it was', async () => {
  const round = async (): Promise<number> => {
    await policy.use(await tinyWeights(tinyModel('qwen3-untied')));
    await policy.sample([{ prefixGroup: 'a', promptIds: tiny.prompt, randomKey: 'x' }], {
      temperature: 1,
      maxResponseTokens: 3,
    });
    await policy.use(await tinyWeights(tinyModel('qwen2-untied')));
    await policy.sample([{ prefixGroup: 'a', promptIds: tiny.prompt, randomKey: 'x' }], {
      temperature: 1,
      maxResponseTokens: 3,
    });
    return (await policy.device()).tensors;
  };
  const tensors = await round();
  assert.equal(await round(), tensors);
  const broken = path.join(folder, 'nan');
  await cp(tinyModel('llama-tied'), broken, { recursive: true });
  const file = path.join(broken, 'model.safetensors');
  const bytes = await readFile(file);
  bytes.writeFloatLE(NaN, bytes.length - 4); // the last value of the last tensor
  await writeFile(file, bytes);
  await assert.rejects(async () => policy.use(await tinyWeights(broken)), {
    name: 'ModelFileInvalid',
    message: /nan\/model\.safetensors: tensor model\.\S+ holds NaN at index \d+/,
  });
  assert.equal((await policy.device()).tensors, 0);
  assert.equal(await round(), tensors);
});

// -- what is refused ------------------------------------------------------------------------------

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'seeupo-models-'));
});
after(() => rm(folder, { recursive: true }));

/** A copy of a fixture with a changed config.json. */
async function variant(source: string, change: Record<string, unknown>): Promise<string> {
  const target = await mkdtemp(path.join(folder, 'variant-'));
  await cp(tinyModel(source), target, { recursive: true });
  const file = path.join(target, 'config.json');
  const config = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  await writeFile(file, JSON.stringify({ ...config, ...change }));
  return target;
}

test('a setting of config.json that would change the numbers is refused by its name', async () => {
  const cases: [string, Record<string, unknown>, RegExp][] = [
    ['llama-tied', { hidden_act: 'gelu' }, /hidden_act = "gelu"/],
    ['llama-tied', { attention_dropout: 0.1 }, /attention_dropout = 0\.1/],
    ['llama-tied', { quantization_config: { quant_method: 'awq' } }, /quantization_config/],
    ['llama-tied', { model_type: 'mixtral' }, /model_type "mixtral", known are llama, qwen2, qwen3/],
    ['llama-tied', { architectures: ['LlamaForSequenceClassification'] }, /architectures/],
    [
      'llama-tied',
      { residual_multiplier: 0.2 },
      /residual_multiplier = 0\.2 \(computed is only 1\), which would change/,
    ],
    [
      'llama-tied',
      { rope_parameters: { rope_type: 'longrope', rope_theta: 1e4, factor: 2 } },
      /rope_parameters\.rope_type is "longrope"/,
    ],
    ['llama-tied', { rope_parameters: { rope_type: 'dynamic', rope_theta: 1e4, factor: 2 } }, /"dynamic"/],
    [
      'llama-tied',
      { rope_parameters: { rope_type: 'linear', rope_theta: 1e4, factor: 2, partial_rotary_factor: 0.5 } },
      /partial_rotary_factor is 0\.5/,
    ],
    [
      'llama-tied',
      { rope_parameters: { rope_type: 'default', rope_theta: 1e4, short_factor: [1] } },
      /has rope_parameters\.short_factor = \[1\]/,
    ],
    [
      'qwen2-tied',
      { use_sliding_window: true, sliding_window: 16, layer_types: null, max_window_layers: 1 },
      /use_sliding_window = true/,
    ],
    ['qwen3-tied', { layer_types: ['full_attention', 'sliding_attention'] }, /layer_types/],
    ['qwen3-tied', { num_attention_heads: 3 }, /no multiple of num_key_value_heads/],
    ['qwen3-tied', { hidden_size: '32' }, /hidden_size is "32", expected a positive number/],
  ];
  for (const [source, change, message] of cases)
    await assert.rejects(openModel(await variant(source, change)), { name: 'ModelFileInvalid', message });
});

test('the spelling of RoPE before transformers 5 means the same', async () => {
  const old = await variant('llama-untied', {
    rope_parameters: null,
    rope_theta: 500,
    rope_scaling: {
      type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    },
  });
  assert.deepEqual(await configOfModel(old), await configOfModel(tinyModel('llama-untied')));
});

test('weights that do not fit config.json are refused with file and tensor', async () => {
  await assert.rejects(
    openModel(await variant('qwen3-tied', { num_hidden_layers: 3, layer_types: null })),
    /lacks tensor model\.layers\.2\.input_layernorm\.weight, .* and \d+ more/,
  );
  await assert.rejects(
    openModel(await variant('qwen3-tied', { num_hidden_layers: 1, layer_types: null })),
    /has tensor model\.layers\.1\.\S+, which a model of this config\.json does not have/,
  );
  const wide = await openModel(await variant('qwen3-tied', { intermediate_size: 65 }));
  await assert.rejects(
    wide.module(0, 'mlp.gate_proj'),
    /tensor model\.layers\.0\.mlp\.gate_proj\.weight has shape \[64, 32\], expected \[65, 32\]/,
  );
  await wide.close();
});

test('a missing shard, a file cut short and a damaged header are refused with their names', async () => {
  const shard = 'model-00002-of-00003.safetensors';
  const missing = await variant('qwen3-untied', {});
  await rm(path.join(missing, shard));
  await assert.rejects(openModel(missing), {
    name: 'ModelFileInvalid',
    message: /model-00002-of-00003\.safetensors: does not exist/,
  });

  const whole = await readFile(path.join(tinyModel('qwen3-untied'), shard));
  const broken = await variant('qwen3-untied', {});
  const put = (bytes: Uint8Array) => writeFile(path.join(broken, shard), bytes);
  await put(whole.subarray(0, whole.length - 10));
  await assert.rejects(openModel(broken), /00002\S+: tensor \S+ ends at byte \d+, the file at \d+: it is cut short/);
  await put(whole.subarray(0, 4));
  await assert.rejects(openModel(broken), /too short for a safetensors header/);
  // One flipped bit in each byte of the header is seen, or changes nothing but metadata.
  const header = Number(whole.readBigUInt64LE(0));
  const shapes = whole.toString('latin1', 8, 8 + header);
  for (let at = 0; at < 8 + header; at += 7) {
    const flipped = Buffer.from(whole);
    flipped[at]! ^= 2;
    await put(flipped);
    const outcome = await openModel(broken).then(
      async (reader) => (await reader.close(), 'opened'),
      (error: Error) => error.name,
    );
    const inMetadata = at >= 8 && at < 8 + shapes.indexOf('}');
    assert.ok(
      outcome === 'ModelFileInvalid' || inMetadata || (outcome === 'opened' && /\s/.test(shapes[at - 8]!)),
      `flip at ${at}: ${outcome}`,
    );
  }
});

test('the fingerprint of a directory changes with every file that counts, and with no other', async () => {
  const model = await variant('qwen2-tied', {});
  const { sha256, bytes } = await modelFingerprint(model);
  await writeFile(path.join(model, 'README.md'), 'hello');
  assert.deepEqual(await modelFingerprint(model), { sha256, bytes });
  await writeFile(path.join(model, 'generation_config.json'), '{}');
  assert.notEqual((await modelFingerprint(model)).sha256, sha256);
});
