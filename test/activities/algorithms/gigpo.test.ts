import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Episode } from '../../../activities/algorithms/algorithm.js';
import { stepAdvantages } from '../../../activities/algorithms/gigpo.js';
import { algorithmOf } from '../../../activities/algorithms/index.js';
import { inertSettings } from '../../../activities/run/inert-settings.js';
import { keys } from '../../../activities/artifacts/store.js';
import { AlgorithmConfig, GuardConfig, type TrainConfig } from '../../../schemas/train-config.js';
import { TurnStateManifest } from '../../../schemas/turn-state.js';
import { pipelineConfig, toyRun } from '../../support/toy-pipeline.js';
import { trainInProcess } from '../../support/train-in-process.js';

/** @param seen  what each turn was answered with */
const episode = (id: string, reward: number, seen: readonly string[]): Episode => ({
  id,
  taskId: id[0]!,
  reward,
  turns: seen.map((observationHash) => ({ promptIds: [id.charCodeAt(0)], observationHash })),
});
const near = (actual: readonly number[], expected: readonly number[]): void => {
  assert.equal(actual.length, expected.length);
  expected.forEach((value, i) => assert.ok(Math.abs(actual[i]! - value) < 1e-9, `${actual[i]}, expected ${value}`));
};
const advantagesOf = (config: object, episodes: readonly Episode[]): ((id: string) => number[]) => {
  const ofTurn = algorithmOf(AlgorithmConfig.parse(config)).advantages({
    episodes,
    trained: episodes,
    turn: 1,
    valuesOf: () => assert.fail('no critic'),
  });
  const turns = new Map(episodes.map((one) => [one.id, one.turns.length]));
  return (id) => Array.from({ length: turns.get(id)! }, (_, t) => ofTurn(id, t + 1).advantage);
};

const options = { gamma: 0.5, normalization: 'none', deviation: undefined, rewardShaping: 'none' } as const;

test('hand-worked: the same door, opened early and late', () => {
  // All begin alike: returns 1 / 4, 0 and 1 / 2. Then a#0 and a#1 answer the door, worth 1 / 2 and 0; a#2 answers a
  // wall, alone; and a#0 answers the door once more, worth 1, so that the door's group has the mean 1 / 2.
  const steps = stepAdvantages(
    [
      episode('a#0', 1, ['door', 'door', 'end']),
      episode('a#1', 0, ['door', 'end']),
      episode('a#2', 1, ['wall', 'end']),
    ],
    options,
  );
  near(steps.get('a#0')!, [0, 0, 0.5]);
  near(steps.get('a#1')!, [-0.25, -0.5]);
  near(steps.get('a#2')!, [0.25, 0]);
});

test('the same observation in another task is another group', () => {
  const steps = stepAdvantages(
    [
      episode('a#0', 1, ['door', 'end']),
      episode('a#1', 0, ['end']),
      episode('b#0', 0, ['door', 'end']),
      episode('b#1', 0, ['end']),
    ],
    options,
  );
  near(steps.get('a#0')!, [0.25, 0]);
  near(steps.get('b#0')!, [0, 0]);
});

interface Case {
  readonly config: Readonly<Record<string, unknown>>;
  readonly episodes: readonly { readonly id: string; readonly reward: number; readonly seen: readonly string[] }[];
  readonly advantages: Readonly<Record<string, readonly number[]>>;
}

/** Oracle: numpy on the equations of the paper (fixtures/make_gigpo.py). */
const cases = JSON.parse(readFileSync('test/activities/algorithms/fixtures/gigpo.json', 'utf8')) as Case[];

for (const { config, episodes, advantages } of cases) {
  test(`advantages equal those written from the paper: ${JSON.stringify(config)}`, () => {
    const found = advantagesOf(
      config,
      episodes.map(({ id, reward, seen }) => episode(id, reward, seen)),
    );
    for (const [id, expected] of Object.entries(advantages)) near(found(id), expected);
  });
}

test('without step advantages it is GRPO, and what is clipped is the sum', () => {
  const { episodes } = cases[0]!;
  const played = episodes.map(({ id, reward, seen }) => episode(id, reward, seen));
  const grpo = advantagesOf({ name: 'grpo' }, played);
  const none = advantagesOf({ name: 'gigpo', stepWeight: 0 }, played);
  for (const { id } of episodes) near(none(id), grpo(id));
  const [free, clipped] = [{}, { advantageClip: 0.5 }].map((rest) => advantagesOf({ name: 'gigpo', ...rest }, played));
  const all = episodes.flatMap(({ id }) => free!(id));
  assert.ok(all.some((value) => Math.abs(value) > 0.5));
  near(
    episodes.flatMap(({ id }) => clipped!(id)),
    all.map((value) => Math.min(0.5, Math.max(-0.5, value))),
  );
});

test('the discount is named where it cannot act', () => {
  const inert = (algorithm: object, maxTurns: number): string =>
    inertSettings({
      algorithm: AlgorithmConfig.parse({ name: 'gigpo', epochs: 2, ...algorithm }),
      rollout: { maxTurns } as TrainConfig['rollout'],
      guard: GuardConfig.parse({}),
    }).join('\n');
  assert.equal(inert({}, 3), '');
  assert.match(inert({ stepWeight: 0 }, 3), /^algorithm\.gamma never acts.*GRPO$/);
  assert.match(inert({}, 1), /^algorithm\.gamma never acts: with one turn/);
  assert.equal(inert({ normalization: 'none' }, 3), '');
});

test('a run trains with it, also over shards, and the step advantage acts', async () => {
  const surrogates = async (algorithm: object, shards = 1): Promise<string> => {
    const { artifacts, dependencies } = toyRun();
    const config = {
      ...pipelineConfig,
      iterations: 1,
      update: { shards },
      algorithm: algorithm as typeof pipelineConfig.algorithm,
    };
    await trainInProcess(dependencies, 'run', config);
    const { metrics } = (await artifacts.findManifest(keys.turnState('run', 0, 1), TurnStateManifest))!.manifest;
    assert.equal(metrics.optimizerSteps, 2);
    return [metrics.weight.min, metrics.weight.max, metrics.surrogateAfter].map((value) => value.toFixed(9)).join();
  };
  const whole = await surrogates({ name: 'gigpo', epochs: 2 });
  assert.equal(await surrogates({ name: 'gigpo', epochs: 2 }, 2), whole);
  assert.notEqual(await surrogates({ name: 'grpo', epochs: 2 }), whole);
});
