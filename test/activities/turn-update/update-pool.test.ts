import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuardConfig, OptimizerConfig, SeeupoConfig } from '../../../schemas/train-config.js';
import type { PoolSample } from '../../../activities/turn-update/pool-sample.js';
import { updatePool } from '../../../activities/turn-update/update-pool.js';
import { TabularPolicy } from '../../support/tabular-policy.js';

const old = Math.log(1 / 4);
const seat = (id: string, token: number, advantage: number): PoolSample => ({
  id,
  taskId: id.split('#')[0]!,
  promptIds: [0],
  responseIds: [token],
  old: [old],
  reference: [old],
  advantage,
  suffixProduct: 1,
});
const options = (algorithm: object = {}, learningRate = 0.1, guard: object = {}) => ({
  turn: 2,
  algorithm: SeeupoConfig.parse({ name: 'seeupo', klCoefficient: 0, ...algorithm }),
  optimizer: OptimizerConfig.parse({ learningRate }),
  temperature: 1,
  microBatchTokens: 8,
  maxResponseTokens: 32,
  guard: GuardConfig.parse({ maxKl: 0.015, ...guard }),
  randomKey: 'k',
  unmoved: true,
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
  const { ratios, metrics } = await updatePool(
    policy,
    [seat('a#0', 1, 1), seat('a#1', 2, -1)],
    options({}, 1e-300),
    silent,
  );
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

const pair = (): PoolSample[] => [seat('a#0', 1, 1), seat('a#1', 2, -1)];

test('entropy is measured always, and its bonus moves theta towards the uniform policy', async () => {
  const from = [1, 0, 0, 0];
  const moved = async (entropyCoefficient: number) => {
    const policy = new TabularPolicy();
    policy.logits = [...from];
    const z = Math.E + 3;
    const indifferent = [{ ...seat('a#0', 0, 0), old: [1 - Math.log(z)] }];
    const { metrics } = await updatePool(policy, indifferent, options({ entropyCoefficient }), silent);
    const p = [Math.E / z, 1 / z, 1 / z, 1 / z];
    const entropy = -p.reduce((total, q) => total + q * Math.log(q), 0);
    assert.ok(Math.abs(metrics.entropy - entropy) < 1e-12);
    return { logits: policy.logits, first: -p[0]! * (Math.log(p[0]!) + entropy) };
  };
  assert.deepEqual((await moved(0)).logits, from);
  const { logits, first } = await moved(0.5);
  assert.ok(Math.abs(logits[0]! - (1 + 0.1 * 0.5 * first)) < 1e-12, 'the logit steps along c dH/dlogit');
  assert.ok(logits[0]! < 1);
});

test('on a pool that later turns have moved, the surrogate before is that of theta as it is found', async () => {
  const policy = new TabularPolicy();
  policy.logits = [0, Math.log(1.1), 0, 0]; // theta_k was uniform
  const ratio = (4 * 1.1) / 4.1;
  for (const minibatches of [1, 2]) {
    const pool = [seat('a#0', 1, 2), seat('b#0', 1, 2)];
    const { metrics } = await updatePool(policy, pool, { ...options({ minibatches }, 1e-300), unmoved: false }, silent);
    assert.ok(Math.abs(metrics.surrogateBefore - 2 * ratio) < 1e-12);
    assert.equal(metrics.surrogateAfter, metrics.surrogateBefore);
  }
});

test('`warn` keeps an update past the KL limit and says so', async () => {
  const policy = new TabularPolicy();
  const { ratios, metrics } = await updatePool(policy, pair(), options({}, 1), silent);
  assert.deepEqual(metrics.guard, { decision: 'kept', violations: ['kl-over-limit'] });
  assert.equal(ratios.size, 2);
});

test('`reject` gives no ratio and no step, and the figures that it was rejected for', async () => {
  const { ratios, metrics } = await updatePool(
    new TabularPolicy(),
    pair(),
    options({}, 1, { onViolation: 'reject' }),
    silent,
  );
  assert.deepEqual(metrics.guard, { decision: 'rejected', violations: ['kl-over-limit'] });
  assert.equal(ratios.size, 0);
  assert.equal(metrics.optimizerSteps, 0);
  assert.ok(metrics.klIteration > 0.015 && metrics.ratio.max > 1);
});

test('`reject` keeps an update that is none of these', async () => {
  const { ratios, metrics } = await updatePool(
    new TabularPolicy(),
    pair(),
    options({}, 0.1, { onViolation: 'reject' }),
    silent,
  );
  assert.deepEqual(metrics.guard, { decision: 'kept', violations: [] });
  assert.equal(ratios.size, 2);
});

test('`stop-epochs` takes no epoch after the one that went past the limit', async () => {
  const policy = new TabularPolicy();
  const { metrics } = await updatePool(
    policy,
    pair(),
    options({ epochs: 4 }, 0.4, { onViolation: 'stop-epochs' }),
    silent,
  );
  assert.deepEqual(policy.calls, ['step 2', 'logProbs current 2']);
  assert.deepEqual(metrics.guard, { decision: 'stopped', violations: ['kl-over-limit'] });
  assert.equal(metrics.optimizerSteps, 1);
  const calm = new TabularPolicy();
  await updatePool(calm, pair(), options({ epochs: 2 }, 0.01, { onViolation: 'stop-epochs' }), silent);
  assert.deepEqual(calm.calls, ['step 2', 'logProbs current 2', 'step 2', 'logProbs current 2']);
});

test('a step against the surrogate is found: it fell', async () => {
  const { metrics } = await updatePool(
    new TabularPolicy(),
    pair(),
    { ...options(), optimizer: { ...options().optimizer, learningRate: -0.1 } },
    silent,
  );
  assert.ok(metrics.surrogateAfter < metrics.surrogateBefore);
  assert.deepEqual(metrics.guard.violations, ['surrogate-fell']);
});

test('with `reject`, a loss that is no number leaves the update out, and its figures are those of the turn as found', async () => {
  const policy = new TabularPolicy();
  const { ratios, metrics } = await updatePool(
    policy,
    [seat('a#0', 1, NaN), seat('a#1', 2, 1)],
    options({}, 0.1, { onViolation: 'reject' }),
    silent,
  );
  assert.equal(metrics.guard.decision, 'rejected');
  assert.ok(metrics.guard.violations.includes('non-finite'));
  assert.equal(ratios.size, 0);
  assert.deepEqual(policy.logits, [0, 0, 0, 0]);
});

/** Its step makes theta no number, as an overflow on a device does. */
class Overflowing extends TabularPolicy {
  override async step(...args: Parameters<TabularPolicy['step']>) {
    const result = await super.step(...args);
    this.logits = this.logits.map(() => NaN);
    return result;
  }
}

test('a step that makes theta no number is never kept: it fails, or with `reject` it is left out', async () => {
  for (const onViolation of ['warn', 'stop-epochs']) {
    await assert.rejects(updatePool(new Overflowing(), pair(), options({}, 0.1, { onViolation }), silent), {
      name: 'NonFiniteLoss',
      message: /turn 2: a step made theta no number/,
    });
  }
  const { metrics, ratios } = await updatePool(
    new Overflowing(),
    pair(),
    options({}, 0.1, { onViolation: 'reject' }),
    silent,
  );
  assert.deepEqual(metrics.guard, { decision: 'rejected', violations: ['non-finite'] });
  assert.equal(ratios.size, 0);
  assert.deepEqual([metrics.klIteration, metrics.ratio.max, metrics.surrogateAfter], [0, 1, 0]);
});

test('an error of the policy that is no loss is not taken for one', async () => {
  const policy = new TabularPolicy();
  policy.step = async () => Promise.reject(new Error('the device is gone'));
  await assert.rejects(updatePool(policy, pair(), options({}, 0.1, { onViolation: 'reject' }), silent), {
    message: 'the device is gone',
  });
});
