import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Episode } from '../../../activities/algorithms/algorithm.js';
import { algorithmOf } from '../../../activities/algorithms/index.js';
import { totalLoss } from '../../../activities/algorithms/objectives.js';
import { keys } from '../../../activities/artifacts/store.js';
import { inertSettings } from '../../../activities/run/inert-settings.js';
import { resolveConfig } from '../../../activities/run/resolve-config.js';
import {
  AlgorithmConfig,
  GuardConfig,
  type TrainConfig,
  type TrainConfigInput,
} from '../../../schemas/train-config.js';
import { CheckpointManifest } from '../../../schemas/checkpoint.js';
import { TurnStateManifest, ValueHead } from '../../../schemas/turn-state.js';
import { pipelineConfig, toyRun } from '../../support/toy-pipeline.js';
import { trainInProcess } from '../../support/train-in-process.js';

interface Case {
  readonly config: Readonly<Record<string, unknown>>;
  readonly old: number[][];
  readonly reference: number[][];
  readonly current: number[][];
  readonly oldValues: number[][];
  readonly values: number[][];
  readonly advantages: number[];
  readonly returns: number[];
  readonly loss: number;
  readonly byLogProbs: number[][];
  readonly byValues: number[][];
}

/**
 * Oracle: GAE by its sum, and PyTorch's autograd in fp64 (fixtures/make_turn_ppo.py). Element i: of turn i, all
 * trajectories in a row.
 */
const fixture = JSON.parse(readFileSync('test/activities/algorithms/fixtures/turn-ppo.json', 'utf8')) as {
  lengths: number[][];
  rewards: number[];
  cases: Case[];
};
const near = (actual: readonly number[], expected: readonly number[], what: string): void => {
  assert.equal(actual.length, expected.length, what);
  expected.forEach((value, i) =>
    assert.ok(Math.abs(actual[i]! - value) < 1e-9, `${what}: ${actual[i]}, expected ${value}`),
  );
};
const episode = (id: string, reward: number, turns: number): Episode => ({
  id,
  taskId: 'a',
  reward,
  turns: Array.from({ length: turns }, () => ({ promptIds: [1], observationHash: '' })),
});
const advantagesOf = (
  config: object,
  episodes: readonly Episode[],
  values: ReadonlyMap<string, readonly (readonly number[])[]>,
) => {
  const ofTurn = algorithmOf(AlgorithmConfig.parse(config)).advantages({
    episodes,
    trained: episodes,
    turn: 1,
    valuesOf: (id) => values.get(id)!,
  });
  return episodes.flatMap(({ id, turns }) => turns.map((_, t) => ofTurn(id, t + 1)));
};

test('hand-worked: two turns, a value each, that of the first token', () => {
  // delta_2 = 1 - 0.2; delta_1 = 0.5 * 0.2 - 0.5; A_1 = delta_1 + 0.25 delta_2
  const [one, two] = advantagesOf(
    { name: 'turn-ppo', gamma: 0.5, lambda: 0.5, normalization: 'none' },
    [episode('a#0', 1, 2)],
    new Map([['a#0', [[0.5, 99, -99], [0.2]]]]),
  );
  near([one!.advantage, two!.advantage], [-0.2, 0.8], 'advantages');
  near([...one!.critic!.returns, ...two!.critic!.returns], [0.3, 1], 'returns');
  assert.deepEqual([one!.critic!.values, two!.critic!.values, one!.critic!.advantages], [[0.5], [0.2], undefined]);
});

for (const one of fixture.cases) {
  test(`advantages, loss and gradients equal PyTorch's: ${JSON.stringify(one.config)}`, () => {
    const config = AlgorithmConfig.parse(one.config);
    const { loss, critic } = algorithmOf(config);
    const episodes = fixture.lengths.map((turns, i) => episode(`a#${i}`, fixture.rewards[i]!, turns.length));
    const left = [...one.oldValues];
    const found = advantagesOf(
      one.config,
      episodes,
      new Map(episodes.map(({ id, turns }) => [id, left.splice(0, turns.length)])),
    );
    near(
      found.map(({ advantage }) => advantage),
      one.advantages,
      'advantages',
    );
    near(
      found.flatMap((turn) => turn.critic!.returns),
      one.returns,
      'returns',
    );

    const batch = { lengths: one.old.map((turn) => turn.length), maxResponseTokens: 9 };
    const parts = found.map(({ advantage, critic: targets }, i) => {
      const sample = { current: one.current[i]!, old: one.old[i]!, reference: one.reference[i]!, weight: advantage };
      const part = loss(batch)(sample);
      const ofValue = critic!.loss(batch)({ current: one.values[i]!, old: targets!.values, returns: targets!.returns });
      near(part.gradient, one.byLogProbs[i]!, `turn ${i}, by log-prob`);
      near(
        ofValue.gradient.map((g) => critic!.coefficient * g),
        one.byValues[i]!,
        `turn ${i}, by value`,
      );
      return { surrogate: part.surrogate, kl: part.kl, valueLoss: ofValue.value };
    });
    near([totalLoss(parts, { klCoefficient: 0.1, valueCoefficient: 0.5 })], [one.loss], 'loss');
  });
}

test('among the cases are clipped and unclipped turns and values; a value is learned at the first token alone', () => {
  const turns = fixture.cases.flatMap(({ config, advantages, old, current }) =>
    advantages.map((advantage, i) => {
      const { loss } = algorithmOf(AlgorithmConfig.parse(config));
      const sample = { current: current[i]!, old: old[i]!, reference: null, weight: advantage };
      return loss({ lengths: [1], maxResponseTokens: 9 })(sample).clipped;
    }),
  );
  assert.deepEqual(new Set(turns), new Set([true, false]));
  const [first, later] = [
    fixture.cases.flatMap(({ byValues }) => byValues.map((turn) => turn[0]!)),
    fixture.cases.flatMap(({ byValues }) => byValues.flatMap((turn) => turn.slice(1))),
  ];
  assert.deepEqual(new Set(first.map((g) => g === 0)), new Set([true, false]));
  assert.ok(later.every((g) => g === 0));
});

test('what cannot act is named; a value head is for one worker a turn', () => {
  const inert = (algorithm: object, maxTurns: number): string =>
    inertSettings({
      algorithm: AlgorithmConfig.parse({ name: 'turn-ppo', ...algorithm }),
      rollout: { maxTurns } as TrainConfig['rollout'],
      guard: GuardConfig.parse({}),
    }).join('\n');
  assert.equal(inert({ epochs: 2 }, 3), '');
  assert.match(inert({ epochs: 2, valueCoefficient: 0 }, 3), /^algorithm\.valueLearningRate and valueClip never act/);
  assert.match(inert({ epochs: 2 }, 1), /^algorithm\.gamma and lambda never act/);
  assert.match(inert({}, 3), /clip never acts.*\n.*valueClip never acts/);
  const shared = { ...pipelineConfig, algorithm: { name: 'turn-ppo' }, update: { shards: 2 } };
  assert.throws(() => resolveConfig(shared), /update\.shards is 2, but turn-ppo's value head is for one worker a turn/);
});

test('a run trains with it: the value head learns from the first iteration on, and comes back', async () => {
  const { artifacts, dependencies } = toyRun();
  const algorithm: TrainConfigInput['algorithm'] = { name: 'turn-ppo', epochs: 2, valueLearningRate: 0.1 };
  await trainInProcess(dependencies, 'run', { ...pipelineConfig, iterations: 2, algorithm });
  const states = await Promise.all(
    [0, 1].map((k) => artifacts.findManifest(keys.turnState('run', k, 1), TurnStateManifest)),
  );
  const [one, two] = states.map((state) => state!.manifest);
  assert.equal(one!.metrics.critic!.explainedVariance, 0);
  assert.notEqual(two!.metrics.critic!.explainedVariance, 0);
  assert.ok(one!.metrics.critic!.valueLoss > 0);
  const checkpoint = await artifacts.findManifest(keys.checkpoint('run', 1), CheckpointManifest);
  const head = await artifacts.getJson(checkpoint!.manifest.policy.valueHead!, ValueHead);
  assert.equal(head.steps, 4);
});
