import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { EvaluateConfig } from '../../schemas/evaluate-config.js';
import { TrainConfig } from '../../schemas/train-config.js';

// Tests run from dist/; the run files are not compiled.
const folder = path.join(process.cwd(), 'scripts', 'runs');
const parsed = (file: string): TrainConfig => TrainConfig.parse(JSON.parse(readFileSync(path.join(folder, file), 'utf8')));

test('every file in scripts/runs/ is a valid run, or the input of an evaluation', async (t) => {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  assert.ok(files.includes('quickstart.json') && files.includes('evaluate-model.json'));
  for (const file of files) {
    await t.test(file, () => {
      if (file.startsWith('evaluate-')) EvaluateConfig.parse(JSON.parse(readFileSync(path.join(folder, file), 'utf8')));
      else parsed(file);
    });
  }
});

test('smoke.json is two iterations of one shard without a warm start', () => {
  const { iterations, rollout, warmStart, evaluation } = parsed('smoke.json');
  assert.deepEqual([iterations, rollout.groupSize, warmStart, evaluation.samplesPerTask], [2, 2, null, 1]);
  assert.ok(rollout.tasksPerIteration !== null && rollout.tasksPerIteration <= rollout.tasksPerShard);
});
