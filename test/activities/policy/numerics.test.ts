import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { TensorFlowPolicy } from '../../../activities/policy/tf-policy.js';
import { moduleNames } from '../../../activities/policy/model-config.js';
import { readSafetensors } from '../../../activities/policy/weights/safetensors.js';
import { fixture, formulaAdapter, shape, smollm2 } from './smollm2.js';

/** Oracle: transformers and PyTorch on the same weights (fixtures/make_fixtures.py). */
const policy = new TensorFlowPolicy();
before(() => policy.use(smollm2()));

const scoring = { temperature: 1, microBatchTokens: 1024 };

for (const [name, { ids, logProbs, greedy, top }] of Object.entries(fixture.prompts)) {
  test(`log-probs of "${name}" equal those of transformers within 1e-4`, async () => {
    const [ours] = await policy.logProbs(
      [{ prefixGroup: 'a', promptIds: ids.slice(0, 1), responseIds: ids.slice(1) }],
      {
        ...scoring,
        weights: 'reference',
      },
    );
    const worst = Math.max(...logProbs.map((value, l) => Math.abs(value - ours![l]!)));
    assert.ok(worst < 1e-4, `largest difference ${worst}`);
  });

  test(`the ten likeliest next tokens after "${name}" have transformers' logits up to their normalisation, within 2e-3`, async () => {
    const ours = await policy.logProbs(
      top.map(([id], i) => ({ prefixGroup: String(i), promptIds: ids, responseIds: [id] })),
      { ...scoring, weights: 'reference' },
    );
    // Differences of logits are differences of log-probs.
    top.forEach(([, logit], i) => assert.ok(Math.abs(ours[i]![0]! - ours[0]![0]! - (logit - top[0]![1])) < 2e-3));
  });

  test(`64 greedy tokens after "${name}" are those of transformers`, async () => {
    const [response] = await policy.sample([{ prefixGroup: 'a', promptIds: ids, randomKey: 'greedy' }], {
      temperature: 1e-4,
      maxResponseTokens: 64,
    });
    // transformers was told to go on after the end of the turn; we stop there.
    assert.deepEqual(response!.ids, greedy.slice(0, response!.ids.length));
    assert.ok(response!.ids.length === 64 || response!.end === 'end-of-turn');
  });
}

test('LoRA: log-probs, the norm of every gradient and the log-probs after one AdamW step equal those of PyTorch', async () => {
  const { rank, alpha, temperature, prompt, response, logProbs, gradientNorm, norms, afterOneStep } = fixture.lora;
  await policy.use(smollm2(rank, alpha, formulaAdapter(rank)));
  await policy.useMoments(null, 0);
  const sequence = { prefixGroup: 'a', promptIds: prompt, responseIds: response };
  // With betas of 0 and no clipping the first moment after a step is the gradient itself.
  await policy.step([sequence], (_, rows) => rows.map((row) => row.map(() => -1 / row.length)), {
    ...scoring,
    temperature,
    learningRate: 1e-9,
    betas: [0, 0],
    epsilon: 1e-8,
    weightDecay: 0,
    maxGradientNorm: null,
  });
  const { tensors } = readSafetensors((await policy.trained()).moments);
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const module of moduleNames) {
      (['A', 'B'] as const).forEach((which, i) => {
        const { values } = tensors.get(`first.base_model.model.model.layers.${layer}.${module}.lora_${which}.weight`)!;
        const norm = Math.sqrt(values.reduce((total, value) => total + value * value, 0));
        const expected = norms[`${layer}.${module}`]![i]!;
        assert.ok(
          Math.abs(norm - expected) < 1e-4 * expected,
          `layer ${layer} ${module} ${which}: norm ${norm}, PyTorch ${expected}`,
        );
      });
    }
  }
  await policy.use(smollm2(rank, alpha, formulaAdapter(rank)));
  await policy.useMoments(null, 0);
  const step = await policy.step([sequence], (_, rows) => rows.map((row) => row.map(() => -1 / row.length)), {
    ...scoring,
    temperature,
    learningRate: 1e-3,
    betas: [0.9, 0.95],
    epsilon: 1e-8,
    weightDecay: 0.01,
    maxGradientNorm: 1,
  });
  step.logProbs[0]!.forEach((value, l) =>
    assert.ok(Math.abs(value - logProbs[l]!) < 1e-4, `token ${l}: ${value}, PyTorch ${logProbs[l]}`),
  );
  assert.ok(
    Math.abs(step.gradientNorm / gradientNorm - 1) < 1e-4,
    `gradient norm ${step.gradientNorm}, PyTorch ${gradientNorm}`,
  );
  const [after] = await policy.logProbs([sequence], { ...scoring, temperature, weights: 'current' });
  after!.forEach((value, l) =>
    assert.ok(
      Math.abs(value - afterOneStep[l]!) < 2e-4,
      `after the step, token ${l}: ${value}, PyTorch ${afterOneStep[l]}`,
    ),
  );
});

test('sequences packed as a trie have the log-probs and gradient that they have alone', async () => {
  const { rank, alpha, prompt, response } = fixture.lora;
  const weights = smollm2(rank, alpha, formulaAdapter(rank));
  await policy.use(weights);
  const other = [...response.slice(0, 3), 1234, 77, 2];
  const longer = { promptIds: [...prompt, ...response, 198, 1, 4093], responseIds: [198, 44, 2] };
  const sequences = [
    { promptIds: prompt, responseIds: response },
    { promptIds: prompt, responseIds: other },
    { promptIds: prompt, responseIds: response },
    longer,
  ];
  const together = sequences.map((sequence) => ({ ...sequence, prefixGroup: 'together' }));
  const apart = sequences.map((sequence, i) => ({ ...sequence, prefixGroup: String(i) }));
  const packed = await policy.logProbs(together, { ...scoring, weights: 'current' });
  const alone = await policy.logProbs(apart, { temperature: 1, microBatchTokens: 1, weights: 'current' });
  packed.flat().forEach((value, i) => assert.ok(Math.abs(value - alone.flat()[i]!) < 1e-4));

  const gradientOf = async (rows: typeof together, microBatchTokens: number): Promise<Float32Array> => {
    await policy.use(weights);
    await policy.useMoments(null, 0);
    await policy.step(
      rows,
      (indices, logProbs) => logProbs.map((row, n) => row.map((_, l) => Math.sin(indices[n]! * 10 + l))),
      {
        temperature: 1,
        microBatchTokens,
        learningRate: 1e-9,
        betas: [0, 0],
        epsilon: 1e-8,
        weightDecay: 0,
        maxGradientNorm: null,
      },
    );
    const { tensors } = readSafetensors((await policy.trained()).moments);
    return Float32Array.from(
      [...tensors].filter(([name]) => name.startsWith('first.')).flatMap(([, { values }]) => [...values]),
    );
  };
  const [a, b] = [await gradientOf(together, 1024), await gradientOf(apart, 1)];
  const norm = Math.hypot(...sample(a));
  const difference = Math.hypot(...sample(a.map((value, i) => value - b[i]!)));
  assert.ok(difference < 1e-5 * norm, `difference ${difference} of norm ${norm}`);
});

/** Math.hypot takes arguments, not arrays of a million: norms of blocks. */
const sample = (values: Float32Array): number[] => {
  const blocks: number[] = [];
  for (let i = 0; i < values.length; i += 1000) blocks.push(Math.hypot(...values.subarray(i, i + 1000)));
  return blocks;
};

test('sampling is a function of weights, prompts and keys: the same ids and log-probs twice, whatever ran between', async () => {
  await policy.use(smollm2());
  const { ids } = fixture.prompts['chat']!;
  const requests = Array.from({ length: 6 }, (_, i) => ({ prefixGroup: 'a', promptIds: ids, randomKey: `0/1/${i}` }));
  const options = { temperature: 0.9, maxResponseTokens: 12 };
  const once = await policy.sample(requests, options);
  await policy.sample(requests.slice(0, 2), { temperature: 0.5, maxResponseTokens: 3 });
  assert.deepEqual(await policy.sample(requests, options), once);
  assert.ok(new Set(once.map((response) => response.ids.join())).size > 1, 'different keys gave different responses');
});

test("the sampler's log-probs are the trainer's within 1e-3, with an adapter too", async () => {
  const { rank, alpha } = fixture.lora;
  await policy.use(smollm2(rank, alpha, formulaAdapter(rank)));
  const { ids } = fixture.prompts['chat']!;
  const requests = Array.from({ length: 4 }, (_, i) => ({
    prefixGroup: 'a',
    promptIds: ids.slice(i),
    randomKey: `gap/${i}`,
  }));
  const responses = await policy.sample(requests, { temperature: 0.9, maxResponseTokens: 16 });
  const trained = await policy.logProbs(
    responses.map((response, i) => ({
      prefixGroup: 'a',
      promptIds: requests[i]!.promptIds,
      responseIds: response.ids,
    })),
    { temperature: 0.9, microBatchTokens: 1024, weights: 'current' },
  );
  responses.forEach((response, i) =>
    response.logProbs.forEach((value, l) => assert.ok(Math.abs(value - trained[i]![l]!) < 1e-3)),
  );
});

test('scoring, sampling and stepping leave the tensor count where it was', async () => {
  await policy.use(smollm2());
  await policy.useMoments(null, 0);
  const sequence = { prefixGroup: 'a', promptIds: [504, 2365], responseIds: [6354, 2] };
  const round = async (i: number): Promise<void> => {
    await policy.logProbs([sequence], { ...scoring, weights: 'current' });
    await policy.sample([{ prefixGroup: 'a', promptIds: [504, 2365], randomKey: String(i) }], {
      temperature: 1,
      maxResponseTokens: 2,
    });
    await policy.step([sequence], (_, rows) => rows.map((row) => row.map(() => 1e-6)), {
      ...scoring,
      learningRate: 1e-9,
      betas: [0.9, 0.95],
      epsilon: 1e-8,
      weightDecay: 0,
      maxGradientNorm: 1,
    });
  };
  await round(0);
  const { tensors } = await policy.device();
  for (let i = 1; i < 4; i++) await round(i);
  assert.equal((await policy.device()).tensors, tensors);
});
