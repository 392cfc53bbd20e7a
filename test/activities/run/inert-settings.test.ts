import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inertSettings } from '../../../activities/run/inert-settings.js';
import { AlgorithmConfig, GuardConfig, type TrainConfig } from '../../../schemas/train-config.js';

const inert = (algorithm: object, maxTurns = 3, guard: object = {}): string =>
  inertSettings({
    algorithm: AlgorithmConfig.parse(algorithm),
    rollout: { maxTurns } as TrainConfig['rollout'],
    guard: GuardConfig.parse(guard),
  }).join('\n');

test('the paper’s objective over several turns has no inert setting: later updates move theta away from theta_k', () =>
  assert.equal(inert({ name: 'seeupo' }), ''));
test('the authors’ clip never acts with one step per turn, and does with two', () => {
  assert.match(inert({ name: 'seeupo', objective: 'authors' }), /clip never acts.*\n.*dualClip never acts/);
  assert.equal(inert({ name: 'seeupo', objective: 'authors', minibatches: 2 }), '');
});
test('GSPO and GRPO with one step per iteration do not clip', () => {
  for (const name of ['gspo', 'grpo']) assert.match(inert({ name }), /clip never acts/);
});
test('REINFORCE has no clip to be inert', () => assert.equal(inert({ name: 'reinforce' }), ''));
test('k1 as a loss, and an estimator without a coefficient, are named', () => {
  assert.match(inert({ name: 'reinforce', klEstimator: 'k1' }), /"k1" only adds noise/);
  assert.match(inert({ name: 'reinforce', klCoefficient: 0 }), /klEstimator "k3" never acts/);
});
test('with one turn the order never acts', () =>
  assert.match(inert({ name: 'seeupo' }, 1), /updateOrder.*SeeUPO is GSPO/));
test('a value clip with one step per iteration, and a value head that is not trained, are named', () => {
  assert.match(inert({ name: 'ppo' }), /valueClip never acts/);
  assert.equal(inert({ name: 'ppo', epochs: 2 }), '');
  assert.match(inert({ name: 'ppo', epochs: 2, valueCoefficient: 0 }), /valueLearningRate and valueClip never act/);
});
test('a guard that cannot stop epochs, or has nothing to warn of, is named', () => {
  assert.match(inert({ name: 'seeupo' }, 3, { onViolation: 'stop-epochs' }), /stop-epochs.*one epoch/);
  assert.equal(inert({ name: 'seeupo', epochs: 2 }, 3, { onViolation: 'stop-epochs' }), '');
  assert.match(inert({ name: 'seeupo' }, 3, { maxKl: null, surrogateTolerance: null }), /nothing to warn of/);
});
