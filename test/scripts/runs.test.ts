import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { TrainConfig } from '../../schemas/train-config.js';

// Tests run from dist/; the run files are not compiled.
const folder = path.join(process.cwd(), 'scripts', 'runs');
const parsed = (file: string): TrainConfig => TrainConfig.parse(JSON.parse(readFileSync(path.join(folder, file), 'utf8')));

test('every file in scripts/runs/ is a valid run', async (t) => {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  assert.ok(files.includes('quickstart.json'));
  for (const file of files) await t.test(file, () => void parsed(file));
});

test('quickstart.json is the measured recipe of the quickstart task', () => {
  const { rollout, lora, warmStart, algorithm, optimizer, iterations, evaluation } = parsed('quickstart.json');
  assert.equal(iterations, 8);
  assert.ok(algorithm.name === 'seeupo');
  assert.deepEqual([rollout.groupSize, rollout.temperature, rollout.maxResponseTokens], [8, 0.9, 32]);
  assert.deepEqual([algorithm.updateOrder, algorithm.klCoefficient, algorithm.minibatches, algorithm.clip.low], ['reverse', 0.005, 2, 0.2]);
  assert.deepEqual([optimizer.learningRate, optimizer.betas], [3e-4, [0.9, 0.95]]);
  assert.deepEqual(lora, { rank: 8, alpha: 16 });
  assert.deepEqual([warmStart?.epochs, warmStart?.optimizer.learningRate, warmStart?.batchSize], [1, 1e-3, 4]);
  assert.equal(evaluation.samplesPerTask, 8);
});

test('smoke.json is two iterations of one shard without a warm start', () => {
  const { iterations, rollout, warmStart, evaluation } = parsed('smoke.json');
  assert.deepEqual([iterations, rollout.groupSize, warmStart, evaluation.samplesPerTask], [2, 2, null, 1]);
  assert.ok(rollout.tasksPerIteration !== null && rollout.tasksPerIteration <= rollout.tasksPerShard);
});
