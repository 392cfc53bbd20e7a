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
    seed: 1, iterations: 1, model: { path: 'm' }, environment: { name: 'e' }, rollout: { groupSize: 8, maxResponseTokens: 32, maxTurns: 1, tasksPerIteration: 1, tasksPerShard: 1, ...rollout },
    algorithm: { name: 'seeupo' }, optimizer: { learningRate: 1e-4 }, evaluation: {}, ...rest,
  });

/**
 * Peak resident set (VmHWM, GiB) of a process that loaded SmolLM2-135M, sampled 4 tokens for every sequence and took one
 * LoRA step of rank 8: prompts of P tokens, G responses of L tokens for each of B tasks, one turn. CPU, 2 threads.
 */
const measured = [
  { P: 200, G: 4, L: 16, B: 1, peak: 2.13 },
  { P: 600, G: 8, L: 32, B: 1, peak: 3.62 },
];
for (const { P, G, L, B, peak } of measured) {
  test(`SmolLM2, ${B} task(s) of ${G} x ${L} tokens after ${P}: the plan is within 15 % of the measured ${peak} GiB`, () => {
    const plan = memoryPlan(shape, config({ groupSize: G, maxResponseTokens: L, tasksPerIteration: B, tasksPerShard: B }), { prompt: P, observation: 64 });
    const planned = plan.peak / GiB;
    assert.ok(Math.abs(planned / peak - 1) < 0.15, `planned ${planned.toFixed(2)} GiB`);
  });
}

test('SmolLM2, sampling 32 responses of 4 tokens to 4 prompts of 400: the plan is within 15 % of the measured 2.60 GiB', () => {
  const { phases } = memoryPlan(shape, config({ maxResponseTokens: 4, tasksPerIteration: 4, tasksPerShard: 4 }), { prompt: 400, observation: 64 });
  const planned = phases.find(({ name }) => name === 'sampling')!.total / GiB;
  assert.ok(Math.abs(planned / 2.6 - 1) < 0.15, `planned ${planned.toFixed(2)} GiB`);
});

const qwen3 = {
  architectures: ['Qwen3ForCausalLM'], model_type: 'qwen3', hidden_size: 5120, num_hidden_layers: 40, num_attention_heads: 40, num_key_value_heads: 8, head_dim: 128,
  intermediate_size: 17408, vocab_size: 151936, max_position_embeddings: 40960, rope_theta: 1e6, rms_norm_eps: 1e-6, tie_word_embeddings: false, hidden_act: 'silu',
};

test('the parameters of Qwen3-14B are counted: 14.77 billion', () => {
  const { parameters } = memoryPlan(configOf('config.json', qwen3), config({}), { prompt: 512, observation: 64 });
  assert.equal(Math.round(parameters / 1e7), 1477);
});

test('every part grows with what it depends on, and with nothing else', () => {
  const plan = (rollout: object, rest = {}) => memoryPlan(shape, config(rollout, rest), { prompt: 100, observation: 10 });
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
  assert.deepEqual(changes.map(({ peak }) => peak), changes.map(({ peak }) => peak).sort((a, b) => a - b));
  assert.deepEqual(remedies(shape, long, lengths, before), []);
});

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'seeupo-plan-'));
  await writeFile(join(folder, 'config.json'), JSON.stringify(qwen3));
});
after(() => rm(folder, { recursive: true }));

test('npm run plan says what is needed and whether it fits, from config.json alone; its exit code says it too', () => {
  const plan = (...args: string[]) =>
    spawnSync(process.execPath, [join(repositoryRoot, 'dist/scripts/plan.js'), '--config', 'scripts/runs/quickstart.json', '--model', folder, ...args], { encoding: 'utf8', cwd: repositoryRoot });
  const small = plan('--gpu', '80GB');
  assert.equal(small.status, 1);
  assert.match(small.stdout, /14\.768 billion parameters[\s\S]*frozen weights +55\.02 GiB[\s\S]*does NOT fit[\s\S]*The weights alone/);
  assert.equal(plan('--gpu', '400GB').status, 0);
  assert.match(plan('--gpu', 'much').stderr, /--gpu is "much": expected a size like 80GB/);
});
