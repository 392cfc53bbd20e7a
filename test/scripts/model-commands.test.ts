// Needs of set-up: model, tensorflow-binding
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '../../scripts/setup/paths.js';
import { tiny, tinyModel } from '../activities/policy/tiny-models.js';

const run = (command: string, args: readonly string[], input = '') =>
  spawnSync(process.execPath, [join(repositoryRoot, 'dist', 'scripts', `${command}.js`), ...args], {
    input,
    encoding: 'utf8',
    cwd: repositoryRoot,
  });
const lines = (text: string): unknown[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);

test('score: a line of ids gives their log-probs and the ten likeliest after them, those of transformers; no tokenizer is needed', () => {
  const { ids } = tiny;
  const { logProbs, lastLogits } = tiny.models['qwen3-untied']!;
  const { stdout, status } = run(
    'score',
    ['--model', tinyModel('qwen3-untied')],
    `${JSON.stringify({ ids, from: 60 })}\n\n${JSON.stringify({ ids: ids.slice(0, 3) })}`,
  );
  assert.equal(status, 0);
  const [first, second] = lines(stdout) as { logprobs: number[]; top: [number, number][] }[];
  assert.equal(first!.logprobs.length, 40);
  first!.logprobs.forEach((value, i) => assert.ok(Math.abs(value - logProbs[59 + i]!) < 1e-4)); // logProbs[i] is of ids[i + 1]
  assert.deepEqual(
    second!.logprobs.map((value) => value.toFixed(3)),
    logProbs.slice(0, 2).map((value) => value.toFixed(3)),
  );
  const likeliest = lastLogits
    .map((logit, id) => [id, logit] as const)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 10);
  assert.deepEqual(
    first!.top.map(([id]) => id),
    likeliest.map(([id]) => id),
  );
  const lse = Math.log(lastLogits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  first!.top.forEach(([, value], k) => assert.ok(Math.abs(value - (likeliest[k]![1] - lse)) < 1e-4));
});

test('score: a bad line is named with what is wrong, after the answers of the lines before it', () => {
  const cases: [string, RegExp][] = [
    ['{"ids":[5,128]}', /line 2: token id 128 is outside the vocabulary of 128/],
    [
      JSON.stringify({ ids: Array.from({ length: 257 }, () => 5) }),
      /line 2: has 257 ids, but the model reads only 256/,
    ],
    ['{"ids":[5],"from":2}', /line 2: from is 2, but there are only 1 ids/],
    ['{"ids":[1.5]}', /line 2: expected \{"ids"/],
    ['nonsense', /line 2: is no JSON/],
    ['{"messages":[{"role":"user","content":"x"}],"completion":"y"}', /tokenizer\.json: does not exist/],
  ];
  for (const [bad, message] of cases) {
    const { stdout, stderr, status } = run(
      'score',
      ['--model', tinyModel('llama-tied')],
      `{"ids":[5,6]}\n${bad}\n{"ids":[7]}\n`,
    );
    assert.match(stderr, message);
    assert.equal(lines(stdout).length, 1);
    assert.notEqual(status, 0);
  }
});

test('score, generate, export: a call that cannot work says what to write', () => {
  assert.match(run('score', []).stderr, /--model is missing\n\nnpm run -s score/);
  assert.match(
    run('score', ['--model', 'nowhere.gguf']).stderr,
    /there is no \S+nowhere\.gguf; expected a GGUF file or a Hugging Face directory/,
  );
  assert.match(
    run('score', ['--model', tinyModel('llama-tied'), '--precision', 'fp8']).stderr,
    /--precision is "fp8": expected fp32 or bf16/,
  );
  assert.match(
    run('generate', ['--model', 'm', '--messages', '-', '--temperature', 'hot']).stderr,
    /--temperature is "hot": expected a number from 0/,
  );
  assert.match(
    run('generate', ['--model', 'm', '--messages', '-'], '{"role":"user"}').stderr,
    /standard input: expected \[\{"role":"user"/,
  );
  assert.match(run('export', ['--run', '../x', '--out', 'y']).stderr, /--run is "\.\.\/x": it must be 1 to 128/);
  assert.match(
    run('export', ['--run', 'x', '--out', 'y', '--iteration', '1.5']).stderr,
    /--iteration is "1\.5": expected a whole number from -1/,
  );
  assert.match(run('export', ['--run', 'x', '--out', 'scripts']).stderr, /scripts is not empty/);
  for (const command of ['score', 'generate', 'export']) assert.equal(run(command, []).status, 2);
});

test('generate: the same seed gives the same answer, another seed another; --n answers are lines of JSON with --json', () => {
  const answers = (seed: number) =>
    lines(
      run(
        'generate',
        [
          '--model',
          tinyModel('qwen2.gguf'),
          '--messages',
          '-',
          '--json',
          '--n',
          '2',
          '--max-tokens',
          '6',
          '--temperature',
          '1',
          '--seed',
          String(seed),
        ],
        '[{"role":"user","content":"cabs"}]',
      ).stdout,
    );
  const once = answers(3) as { ids: number[]; end: string }[];
  assert.equal(once.length, 2);
  assert.ok(once.every(({ ids, end }) => ids.length === 6 || end === 'end-of-turn'));
  assert.deepEqual(answers(3), once);
  assert.notDeepEqual(answers(4), once);
});

test('score: ids of a file whose tokenizer is not known are scored; its text is refused with the tokenizer and the remedy', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'seeupo-pre-'));
  const bytes = await readFile(join(repositoryRoot, 'test/activities/policy/fixtures/gguf/llama3-bpe-tokenizer.gguf'));
  bytes.write('falcon-h1', bytes.indexOf('llama-bpe'));
  await writeFile(join(folder, 'model.gguf'), bytes);
  const { stdout, stderr } = run(
    'score',
    ['--model', join(folder, 'model.gguf')],
    '{"ids":[5,6,7]}\n{"messages":[{"role":"user","content":"x"}],"completion":"y"}\n',
  );
  assert.equal((lines(stdout)[0] as { logprobs: number[] }).logprobs.length, 2);
  assert.match(stderr, /has tokenizer gpt2\/falcon-h1.*Only ids of such a file are scored/);
  await rm(folder, { recursive: true });
});

test('score, plan: a setting of config.json that is not known is refused, and passes when it is accepted by name', async () => {
  const model = await mkdtemp(join(tmpdir(), 'seeupo-accept-'));
  await cp(tinyModel('llama-tied'), model, { recursive: true });
  const config = JSON.parse(await readFile(join(model, 'config.json'), 'utf8')) as object;
  await writeFile(join(model, 'config.json'), JSON.stringify({ ...config, my_mark: 1 }));
  const ids = '{"ids":[5,6,7]}\n';
  assert.match(
    run('score', ['--model', model], ids).stderr,
    /has my_mark = 1, which is not known here.*--accept-setting my_mark/,
  );
  const { stdout } = run('score', ['--model', model, '--accept-setting', 'my_mark'], ids);
  assert.equal(stdout, run('score', ['--model', tinyModel('llama-tied')], ids).stdout);
  const plan = ['--config', 'scripts/runs/quickstart.json', '--gpu', '80GB', '--model', model];
  assert.match(run('plan', plan).stderr, /has my_mark = 1/);
  assert.match(run('plan', [...plan, '--accept-setting', 'my_mark']).stdout, /billion parameters/);
  await rm(model, { recursive: true });
});
