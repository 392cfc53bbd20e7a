import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BadConfig, differences, problemsWithTasks, resolveConfig } from '../../../activities/run/resolve-config.js';
import { requestOf } from '../../../activities/run/run-request.js';
import type { TrainConfigInput } from '../../../schemas/train-config.js';
import type { Task } from '../../../schemas/task.js';

export const smallConfig: TrainConfigInput = {
  seed: 1,
  iterations: 2,
  model: { path: 'toy.gguf' },
  environment: { name: 'toy' },
  rollout: { groupSize: 2, maxResponseTokens: 32, maxTurns: 2 },
  algorithm: { name: 'seeupo' },
  optimizer: { learningRate: 3e-4 },
  evaluation: {},
};
const problems = (change: (config: Record<string, any>) => void): readonly string[] => {
  const config = structuredClone(smallConfig) as Record<string, any>;
  change(config);
  try {
    resolveConfig(config);
  } catch (error) {
    assert.ok(error instanceof BadConfig);
    return error.problems;
  }
  return [];
};

test('defaults are spelled out', () => {
  const { lora, algorithm, rollout, warmStart } = resolveConfig(smallConfig);
  assert.ok(algorithm.name === 'seeupo');
  assert.deepEqual(
    [lora, algorithm.clip, rollout.temperature, warmStart],
    [{ rank: 8, alpha: 16 }, { low: 0.2, high: 0.2 }, 0.9, null],
  );
});

test('the shipped configurations resolve', () => {
  for (const name of ['quickstart', 'smoke'])
    resolveConfig(JSON.parse(readFileSync(`scripts/runs/${name}.json`, 'utf8')));
});

test('an unknown setting is answered with the nearest one that is known, and with what that is', () => {
  assert.deepEqual(
    problems((c) => (c.rolout = {})),
    [
      'rolout is no setting: did you mean "rollout"? ' +
        '(rollout: How the episodes that the policy learns from are sampled.)',
    ],
  );
  assert.deepEqual(
    problems((c) => (c.rollout.groupsize = 4)),
    [
      'rollout.groupsize is no setting: did you mean "groupSize"? ' +
        '(groupSize: G: number of trajectories sampled per task in an iteration, at least 2.)',
    ],
  );
  assert.match(
    problems((c) => (c.algorithm.klCoeff = 4)).join(),
    /^algorithm\.klCoeff is no setting: did you mean "klCoefficient"\?/,
  );
});

test('a wrong value is told with the first sentence of what its field means, also within a list', () => {
  const found = problems((c) => {
    c.optimizer.learningRate = -1;
    c.optimizer.betas = [0.9, 2];
    c.rollout.history = 'some';
    delete c.rollout.maxTurns;
    c.s3 = {};
  });
  const endings = [
    /^optimizer\.learningRate is -1: .* \(learningRate: Learning rate of AdamW; the peak rate where it varies\.\)$/,
    /^optimizer\.betas\.1 is 2: .* \(betas: Decay rates of AdamW for the first and the second moment\.\)$/,
    /^rollout\.history is "some": .* \(history: What a prompt holds of the earlier turns\.\)$/,
    /^rollout\.maxTurns is missing: .* \(maxTurns: T: largest number of turns of an episode\.\)$/,
    /^s3 is no setting: known here: [^()]*$/,
  ];
  for (const pattern of endings)
    assert.ok(
      found.some((line) => pattern.test(line)),
      `${pattern} in\n${found.join('\n')}`,
    );
  assert.equal(found.length, endings.length);
});

test('a document may name its JSON schema for editors, which is no part of the configuration', () => {
  const resolved = resolveConfig({ $schema: './train-config.schema.json', ...smallConfig } as TrainConfigInput);
  assert.deepEqual(resolved, resolveConfig(smallConfig));
  assert.deepEqual(requestOf({ $schema: 'x', resumeFrom: { run: 'r' } }), requestOf({ resumeFrom: { run: 'r' } }));
  assert.match(problems((c) => (c.$schema = 1)).join(), /^\$schema is no setting/);
  assert.match(problems((c) => (c.rollout.$schema = 'x')).join(), /^rollout\.\$schema is no setting/);
});

test('a setting that belongs elsewhere is answered with its place', () => {
  assert.match(
    problems((c) => (c.groupSize = 4)).join(),
    /^groupSize is no setting: did you mean rollout\.groupSize\? \(groupSize: G: number/,
  );
  assert.match(problems((c) => (c.rollout.learningRate = 1))[0]!, /did you mean .*optimizer.learningRate/);
});

test('all that is wrong is listed at once, each with path, value found and what was expected', () => {
  const found = problems((c) => {
    c.seed = '1';
    c.rollout.groupSize = 1;
    delete c.rollout.maxTurns;
    c.optimizer.learningRate = -1;
    c.algorithm.name = 'trpo';
    c.wamStart = null;
  });
  const expected = [
    /^seed is "1": .*expected (number|int)/,
    /^rollout.groupSize is 1: must be at least 2/,
    /^rollout.maxTurns is missing: .*expected/,
    /^optimizer.learningRate is -1: .*>0/,
    /^algorithm.name is "trpo": .*/,
    /^wamStart is no setting: did you mean "warmStart"\?/,
  ];
  for (const pattern of expected)
    assert.ok(
      found.some((line) => pattern.test(line)),
      `${pattern} in\n${found.join('\n')}`,
    );
  assert.equal(found.length, expected.length);
});

test('what is no configuration at all is named as that', () => {
  for (const [input, shown] of [
    [null, 'null'],
    ['quickstart.json', '"quickstart.json"'],
    [[], '[]'],
  ] as const) {
    assert.throws(() => resolveConfig(input), {
      name: 'BadConfig',
      message: new RegExp(`the configuration is ${shown.replace(/[[\]]/g, '\\$&')}: .*expected object`),
    });
  }
});

test('more minibatches than tasks of an iteration cannot be', () => {
  const found = problems((c) => {
    c.rollout.tasksPerIteration = 2;
    c.algorithm.minibatches = 3;
  });
  assert.match(found.join(), /algorithm.minibatches is 3, but .*tasksPerIteration = 2.*lower it/);
});

const task = (id: string, turns: number): Task => ({ id, split: 'train', turns });

test('a configuration is held against the tasks that it names', () => {
  const config = resolveConfig({
    ...smallConfig,
    rollout: { ...smallConfig.rollout, maxTurns: 2, tasksPerIteration: 5 },
    algorithm: { name: 'seeupo', minibatches: 3 },
  });
  assert.deepEqual(
    problemsWithTasks(config, [task('a', 2), task('b', 1), task('c', 2), task('d', 2), task('e', 2)], []),
    [],
  );
  const found = problemsWithTasks(config, [task('a', 2), task('b', 4)], [task('a', 3)]);
  assert.match(found[0]!, /rollout.maxTurns is 2, but 2 task\(s\).*b: 4, a: 3.*raise it to 4/);
  assert.match(found[1]!, /tasksPerIteration is 5, but.*2 training task/);
  assert.match(found[2]!, /a of the .* listed twice/);
  assert.match(problemsWithTasks(config, [], [])[0]!, /no training task/);
});

test('with all tasks in every iteration, minibatches are held against their number', () => {
  const config = resolveConfig({ ...smallConfig, algorithm: { name: 'seeupo', minibatches: 3 } });
  assert.match(
    problemsWithTasks(config, [task('a', 2), task('b', 2)], [])[0]!,
    /minibatches is 3, but an iteration has only 2/,
  );
});

test('differences name the path and both values', () => {
  assert.deepEqual(differences({ a: 1, b: { c: [1, 2] } }, { a: 1, b: { c: [1, 3] }, d: null }), [
    'b.c.1: stored 2, given 3',
    'd: stored nothing, given null',
  ]);
});

test('a configuration has no place for a credential, and one that is put there is refused without being shown', () => {
  const [problem] = problems((config) => (config['s3'] = { secretAccessKey: 'hunter2' }));
  assert.match(problem!, /^s3 is no setting/);
  assert.ok(!problem!.includes('hunter2'));
});

test('a key under algorithm is held against the algorithm that is chosen', () => {
  const found = (algorithm: object) => problems((c) => void (c.algorithm = algorithm as never)).join('\n');
  assert.match(
    found({ name: 'gspo', cliip: {} }),
    /^algorithm\.cliip is no setting: did you mean "clip"\?( \(clip: [^\n]*\))?$/,
  );
  assert.equal(
    found({ name: 'gspo', updateOrder: 'reverse' }),
    'algorithm.updateOrder is a setting of seeupo, not of gspo: leave it out, or choose another algorithm.name',
  );
});
