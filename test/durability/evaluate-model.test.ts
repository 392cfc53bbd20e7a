import assert from 'node:assert/strict';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { execa } from 'execa';
import { programPath } from '../../scripts/setup/index.js';
import { EvaluationContent } from '../../schemas/evaluation-report.js';
import type { EvaluateResult } from '../../workflows/evaluate.js';
import { startStack, type Stack } from './small-run.js';

/** The real thing, started as a person starts it: the Temporal CLI, a shipped input file (fewer tasks), SmolLM2, the BFCL simulators, S3. */
let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack?.stop());

test('a model is evaluated from the command line, in shards, with a report and transcripts', async () => {
  const shipped = JSON.parse(await readFile('scripts/runs/evaluate-model.json', 'utf8')) as object;
  const given = { ...shipped, maxTasks: 3, samplesPerTask: 2, tasksPerShard: 2 };
  const file = path.join(await mkdtemp(path.join(tmpdir(), 'seeupo-evaluate-')), 'evaluate.json');
  await writeFile(file, JSON.stringify(given)); // with its $schema, as it is shipped
  const { stdout } = await execa(await programPath('temporal'), [
    'workflow',
    'execute',
    '--address',
    stack.services.addresses.temporal,
    '--type',
    'evaluate',
    '--task-queue',
    'seeupo-control',
    '--workflow-id',
    'my-evaluation',
    '--input-file',
    file,
    '--output',
    'json',
  ]);
  const { result } = JSON.parse(stdout) as { result: EvaluateResult };
  assert.deepEqual(result.policies, ['model SmolLM2-135M-Instruct.gguf']);
  const { tasks, episodes, passAtK } = result.overall[0]!;
  assert.deepEqual([tasks, episodes, passAtK.map(({ k }) => k)], [3, 6, [1, 2]]);
  const content = await stack.artifacts.getJson(result.json, EvaluationContent);
  assert.deepEqual(
    content.episodes.map(({ taskId, sample }) => `${taskId} ${sample}`),
    ['101:0 0', '101:0 1', '102:0 0', '102:0 1', '103:0 0', '103:0 1'],
  );
  assert.match(content.episodes[0]!.turns[0]!.prompt!, /<\|im_start\|>system/);
  assert.match(Buffer.from(await stack.artifacts.getBlob(result.html)).toString(), /<h1>SmolLM2-135M as it is/);
});
