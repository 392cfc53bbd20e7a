import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptimizerConfig, SeeupoConfig } from '../../../schemas/train-config.js';
import { updatePool, type PoolSample } from '../../../activities/turn-update/update-pool.js';
import { TabularPolicy } from '../../support/tabular-policy.js';

const old = Math.log(1 / 4);
const seat = (id: string, token: number, weight: number): PoolSample => ({
  id, taskId: id.split('#')[0]!, promptIds: [0], responseIds: [token], old: [old], reference: [old], weight,
});
const options = (algorithm: object = {}, learningRate = 0.1) => ({
  turn: 2,
  algorithm: SeeupoConfig.parse({ name: 'seeupo', klCoefficient: 0, ...algorithm }),
  optimizer: OptimizerConfig.parse({ learningRate }),
  temperature: 1,
  microBatchTokens: 8,
  maxResponseTokens: 32,
  randomKey: 'k',
});
const silent = (): void => undefined;

test('one step moves theta along the weighted score, and rho is the ratio of the new theta to theta_k', async () => {
  const policy = new TabularPolicy();
  const { ratios, metrics } = await updatePool(policy, [seat('a#0', 1, 1), seat('a#1', 2, -1)], options(), silent);
  // gradient of the mean surrogate: 1/2 (e_1 - p) - 1/2 (e_2 - p) = (e_1 - e_2) / 2
  assert.deepEqual(policy.logits, [0, 0.05, -0.05, 0]);
  const z = 2 + Math.exp(0.05) + Math.exp(-0.05);
  assert.ok(Math.abs(ratios.get('a#0')! - (4 * Math.exp(0.05)) / z) < 1e-12);
  assert.equal(metrics.surrogateBefore, 0); // on-policy the surrogate is the mean of M
  assert.ok(metrics.surrogateAfter > 0);
  assert.equal(metrics.optimizerSteps, 1);
});

test('from theta_k, before any step, every ratio is 1 and nothing is clipped', async () => {
  const policy = new TabularPolicy();
  const { ratios, metrics } = await updatePool(policy, [seat('a#0', 1, 1), seat('a#1', 2, -1)], options({}, 1e-300), silent);
  assert.deepEqual([...ratios.values()], [1, 1]);
  assert.equal(metrics.clipFraction, 0);
});

test('epochs and minibatches multiply into optimiser steps; a task is never split', async () => {
  const policy = new TabularPolicy();
  const pool = [seat('a#0', 1, 1), seat('a#1', 2, -1), seat('b#0', 3, 1), seat('b#1', 0, -1)];
  const { metrics } = await updatePool(policy, pool, options({ epochs: 2, minibatches: 2 }), silent);
  assert.equal(metrics.optimizerSteps, 4);
  assert.deepEqual(policy.calls, ['step 2', 'step 2', 'step 2', 'step 2', 'logProbs current 4']);
});

test('a second epoch sees a ratio past the clip and stops pushing it', async () => {
  const policy = new TabularPolicy();
  const pool = [seat('a#0', 1, 1), seat('a#1', 1, 1)];
  const { metrics } = await updatePool(policy, pool, options({ epochs: 5 }, 1), silent);
  assert.equal(metrics.clipFraction, 1);
  // the first step alone: logit 1 rises by 3/4, the others fall by 1/4; the next four add nothing
  assert.deepEqual(policy.logits, [-0.25, 0.75, -0.25, -0.25]);
});

test('an empty pool takes no step and moves nobody', async () => {
  const policy = new TabularPolicy();
  const { ratios, metrics } = await updatePool(policy, [], options(), silent);
  assert.equal(ratios.size, 0);
  assert.equal(metrics.optimizerSteps, 0);
  assert.deepEqual(policy.logits, [0, 0, 0, 0]);
});

test('a loss that is no number stops the update, names the trajectory, and leaves theta alone', async () => {
  const policy = new TabularPolicy();
  await assert.rejects(updatePool(policy, [seat('a#0', 1, NaN)], options(), silent), {
    name: 'NonFiniteLoss',
    message: /turn 2, trajectory a#0.*theta was not changed.*optimizer\.learningRate/,
  });
  assert.deepEqual(policy.logits, [0, 0, 0, 0]);
});
