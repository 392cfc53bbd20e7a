import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { checkedConfig, resolveConfig } from '../../activities/run/resolve-config.js';
import { EvaluateConfig } from '../../schemas/evaluate-config.js';
import type { TrainConfig } from '../../schemas/train-config.js';

// Tests run from dist/; the run files are not compiled.
const folder = path.join(process.cwd(), 'scripts', 'runs');
const parsed = (file: string): TrainConfig => resolveConfig(JSON.parse(readFileSync(path.join(folder, file), 'utf8')));

test('every file in scripts/runs/ is a valid run, or the input of an evaluation', async (t) => {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json') && !file.endsWith('.schema.json'));
  assert.ok(files.includes('quickstart.json') && files.includes('evaluate-model.json'));
  for (const file of files) {
    await t.test(file, () => {
      if (file.startsWith('evaluate-'))
        checkedConfig(EvaluateConfig, JSON.parse(readFileSync(path.join(folder, file), 'utf8')));
      else parsed(file);
    });
  }
});

test('smoke.json is two iterations of one shard without a warm start', () => {
  const { iterations, rollout, warmStart, evaluation } = parsed('smoke.json');
  assert.deepEqual([iterations, rollout.groupSize, warmStart, evaluation.samplesPerTask], [2, 2, null, 1]);
  assert.ok(rollout.tasksPerIteration !== null && rollout.tasksPerIteration <= rollout.tasksPerShard);
});

const models = [
  ['qwen3-14b', 'Qwen3-14B'],
  ['qwen2.5-14b', 'Qwen2.5-14B-Instruct'],
] as const;
const paper = [
  {
    environment: { name: 'bfcl', taskSet: 'authors?prompt=authors' },
    maxPromptTokens: 14_000,
    maxResponseTokens: 4000,
    evaluated: { samplesPerTask: 4, everyIterations: 5 },
    iterations: 50 * Math.floor(100 / 32),
    why: '50 epochs of the 100 training tasks, in whole batches',
  },
  {
    environment: { name: 'appworld', taskSet: 'authors?prompt=authors&reward=shaped' },
    maxPromptTokens: 13_000,
    maxResponseTokens: 3000,
    evaluated: { samplesPerTask: 4, everyIterations: 5 },
    iterations: 75 * Math.floor(90 / 32),
    why: '75 epochs of the 90 training tasks, in whole batches',
  },
];
for (const expected of paper) {
  for (const [file, model] of models.map(
    ([suffix, name]) => [`${expected.environment.name}-${suffix}.json`, name] as const,
  )) {
    test(`${file} has the settings of the paper, and for its LoRA ten times the rate of full training`, () => {
      const {
        model: { path: name },
        environment,
        rollout,
        algorithm,
        optimizer,
        evaluation,
        iterations,
      } = parsed(file);
      assert.deepEqual(
        [name, environment.name, environment.taskSet],
        [model, expected.environment.name, expected.environment.taskSet],
      );
      const {
        tasksPerIteration: B,
        groupSize: G,
        temperature,
        maxPromptTokens,
        maxResponseTokens,
        maxTurns,
        maxObservationTokens,
        history,
      } = rollout;
      assert.deepEqual(
        { B, G, temperature, maxPromptTokens, maxResponseTokens, maxTurns, maxObservationTokens, history },
        {
          B: 32,
          G: 8,
          temperature: 0.9,
          maxPromptTokens: expected.maxPromptTokens,
          maxResponseTokens: expected.maxResponseTokens,
          maxTurns: 10,
          maxObservationTokens: 3000,
          history: 'thinking-stripped',
        },
      );
      assert.ok(
        algorithm.name === 'seeupo' &&
          algorithm.klCoefficient === 0.002 &&
          algorithm.clip.low === 0.2 &&
          algorithm.clip.high === 0.2,
      );
      assert.deepEqual([optimizer.learningRate, optimizer.betas, optimizer.weightDecay], [1e-5, [0.9, 0.999], 0]);
      assert.deepEqual({ ...evaluation, ...expected.evaluated }, evaluation);
      assert.equal(iterations, expected.iterations, expected.why);
    });
  }
}
