import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { configOf } from '../../activities/policy/weights/hugging-face-config.js';
import { TrainConfig } from '../../schemas/train-config.js';
import { memoryPlan, remedies } from '../../scripts/plan/memory-model.js';
import { repositoryRoot } from '../../scripts/setup/paths.js';
import { shape } from '../activities/policy/smollm2.js';

const GiB = 2 ** 30;
const config = (rollout: object, rest: object = {}): TrainConfig =>
  TrainConfig.parse({
    seed: 1,
    iterations: 1,
    model: { path: 'm' },
    environment: { name: 'e' },
    rollout: { groupSize: 8, maxResponseTokens: 32, maxTurns: 1, tasksPerIteration: 1, tasksPerShard: 1, ...rollout },
    algorithm: { name: 'seeupo' },
    optimizer: { learningRate: 1e-4 },
    evaluation: {},
    ...rest,
  });

/**
 * Peak resident set (VmHWM, GiB) of a process that loaded SmolLM2-135M, sampled 4 tokens for every sequence and took one
 * LoRA step of rank 8: prompts of P tokens, G responses of L tokens for each of B tasks, one turn. CPU, 2 threads.
 */
const measured = [
  { P: 200, G: 4, L: 16, B: 1, peak: 2.09 },
  { P: 600, G: 8, L: 32, B: 1, peak: 3.44 },
];
for (const { P, G, L, B, peak } of measured) {
  test(`SmolLM2, ${B} task(s) of ${G} x ${L} tokens after ${P}: the plan is within 15 % of the measured ${peak} GiB`, () => {
    const plan = memoryPlan(
      shape,
      config({ groupSize: G, maxResponseTokens: L, tasksPerIteration: B, tasksPerShard: B }),
      { prompt: P, observation: 64 },
    );
    const planned = plan.peak / GiB;
    assert.ok(Math.abs(planned / peak - 1) < 0.15, `planned ${planned.toFixed(2)} GiB`);
  });
}

test('SmolLM2, sampling 32 responses of 4 tokens to 4 prompts of 400: the plan is within 15 % of the measured 1.96 GiB', () => {
  const { phases } = memoryPlan(shape, config({ maxResponseTokens: 4, tasksPerIteration: 4, tasksPerShard: 4 }), {
    prompt: 400,
    observation: 64,
  });
  const planned = phases.find(({ name }) => name === 'sampling')!.total / GiB;
  assert.ok(Math.abs(planned / 1.96 - 1) < 0.15, `planned ${planned.toFixed(2)} GiB`);
});

const qwen3 = {
  architectures: ['Qwen3ForCausalLM'],
  model_type: 'qwen3',
  hidden_size: 5120,
  num_hidden_layers: 40,
  num_attention_heads: 40,
  num_key_value_heads: 8,
  head_dim: 128,
  intermediate_size: 17408,
  vocab_size: 151936,
  max_position_embeddings: 40960,
  rope_theta: 1e6,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
  hidden_act: 'silu',
};

test('the parameters of Qwen3-14B are counted: 14.77 billion', () => {
  const { parameters } = memoryPlan(configOf('config.json', qwen3), config({}), { prompt: 512, observation: 64 });
  assert.equal(Math.round(parameters / 1e7), 1477);
});

test('every part grows with what it depends on, and with nothing else', () => {
  const plan = (rollout: object, rest = {}) =>
    memoryPlan(shape, config(rollout, rest), { prompt: 100, observation: 10 });
  const [small, wide, long] = [plan({}), plan({}, { lora: { rank: 16 } }), plan({ maxTurns: 3 })];
  const update = ({ phases }: typeof small) => phases.find(({ name }) => name === 'update')!.parts;
  assert.equal(update(wide)['AdamW moments'], 2 * update(small)['AdamW moments']!);
  assert.equal(update(long)['frozen weights'], update(small)['frozen weights']);
  // 3 turns of 32 tokens with 10 between them: 2 x 42 + 31 own tokens of each of 8 samples after 100 common ones
  assert.equal(long.microBatchNodes, 100 + 8 * 115);
  assert.equal(long.longestSequence, 100 + 3 * 32 + 2 * 10);
});

test('what does not fit comes with changes that lower the peak, the most effective first; what fits needs none', () => {
  const long = config({ maxTurns: 6, maxResponseTokens: 400, groupSize: 8 });
  const lengths = { prompt: 1000, observation: 200 };
  const before = memoryPlan(shape, long, lengths).peak;
  const changes = remedies(shape, long, lengths, 8 * GiB);
  assert.ok(changes.length > 1 && changes.every(({ peak }) => peak < before));
  assert.deepEqual(
    changes.map(({ peak }) => peak),
    changes.map(({ peak }) => peak).sort((a, b) => a - b),
  );
  assert.deepEqual(remedies(shape, long, lengths, before), []);
});

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'seeupo-plan-'));
  await writeFile(join(folder, 'config.json'), JSON.stringify(qwen3));
});
after(() => rm(folder, { recursive: true }));

test('bf16 holds the frozen matrices but those of queries and keys in half the bytes, and folds no adapter into a copy', () => {
  const of = (precision: 'fp32' | 'bf16') =>
    memoryPlan(configOf('config.json', qwen3), config({}), { prompt: 512, observation: 64 }, precision).phases[0]!
      .parts;
  const [fp32, bf16] = [of('fp32'), of('bf16')];
  // Of each of 40 layers: v 1024 x 5120, o 5120 x 5120, gate, up and down 17408 x 5120 = 298,844,160 weights
  assert.equal(fp32['frozen weights']! - bf16['frozen weights']!, 40 * 298_844_160 * 2);
  // q, k and v as one fp32 matrix of 7168 x 5120, gate and up as one bf16 matrix of 34816 x 5120
  assert.equal(bf16['weights for decoding'], 40 * (4 * 7168 * 5120 + 2 * 34816 * 5120));
  assert.equal(fp32['KV cache'], bf16['KV cache']);
});

test('full training: weights, two moments and gradients of every parameter; a frozen copy only for the divergence', () => {
  const of = (klCoefficient: number) =>
    memoryPlan(shape, config({}, { training: 'full', algorithm: { name: 'seeupo', klCoefficient } }), {
      prompt: 100,
      observation: 10,
    });
  const [withKl, without] = [of(0.01), of(0)];
  const bytes = 4 * withKl.parameters;
  const update = ({ phases }: typeof withKl) => phases.find(({ name }) => name === 'update')!.parts;
  assert.deepEqual([update(withKl)['frozen weights'], update(without)['frozen weights']], [bytes, 0]);
  assert.deepEqual(
    [update(without)['trained weights'], update(without)['AdamW moments'], update(without)['gradients']],
    [bytes, 2 * bytes, 2 * bytes],
  );
});

test('a limit on prompts limits what the last turn holds', () => {
  const plan = (rest: object) =>
    memoryPlan(shape, config({ maxTurns: 10, maxResponseTokens: 100, ...rest }), { prompt: 200, observation: 50 });
  assert.equal(plan({}).longestSequence, 200 + 9 * 150 + 100);
  assert.equal(plan({ maxPromptTokens: 600 }).longestSequence, 600 + 100);
});

test('the presets of the paper are planned: in bf16 the weights of 14 billion fit 80 GB, in fp32 they do not', () => {
  const plan = (preset: string, ...args: string[]) =>
    spawnSync(
      process.execPath,
      [
        join(repositoryRoot, 'dist/scripts/plan.js'),
        '--config',
        `scripts/runs/${preset}.json`,
        '--model',
        folder,
        '--gpu',
        '80GB',
        '--json',
        ...args,
      ],
      { encoding: 'utf8', cwd: repositoryRoot },
    );
  for (const preset of ['bfcl-qwen3-14b', 'bfcl-qwen2.5-14b']) {
    const weights = ({ stdout }: ReturnType<typeof plan>): number => {
      const { phases } = JSON.parse(stdout) as { phases: { parts: Record<string, number> }[] };
      return phases[0]!.parts['frozen weights']! + phases[0]!.parts['weights for decoding']!;
    };
    assert.ok(weights(plan(preset)) > 80e9);
    const narrow = plan(preset, '--precision', 'bf16');
    assert.ok(weights(narrow) < 60e9);
    // Activations are kept for the backward pass, and sequences of 18,000 tokens have many: the plan says what to lower.
    assert.equal(narrow.status, 1);
    assert.ok((JSON.parse(narrow.stdout) as { changes: unknown[] }).changes.length > 0);
  }
  assert.match(plan('bfcl-qwen3-14b', '--precision', 'fp8').stderr, /--precision is "fp8": expected fp32 or bf16/);
});

test('npm run plan says what is needed and whether it fits, from config.json alone; its exit code says it too', () => {
  const plan = (...args: string[]) =>
    spawnSync(
      process.execPath,
      [
        join(repositoryRoot, 'dist/scripts/plan.js'),
        '--config',
        'scripts/runs/quickstart.json',
        '--model',
        folder,
        ...args,
      ],
      { encoding: 'utf8', cwd: repositoryRoot },
    );
  const small = plan('--gpu', '80GB');
  assert.equal(small.status, 1);
  assert.match(
    small.stdout,
    /14\.768 billion parameters[\s\S]*frozen weights +55\.02 GiB[\s\S]*does NOT fit[\s\S]*The weights alone/,
  );
  assert.equal(plan('--gpu', '400GB').status, 0);
  assert.match(plan('--gpu', 'much').stderr, /--gpu is "much": expected a size like 80GB/);
});
