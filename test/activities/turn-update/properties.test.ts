import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { groupRelativeAdvantages } from '../../../activities/algorithms/advantages.js';
import { batchLoss } from '../../../activities/algorithms/index.js';
import type { PoolSample } from '../../../activities/turn-update/pool-sample.js';
import { extendSuffixProducts } from '../../../activities/algorithms/suffix-ratios.js';
import { updatePool } from '../../../activities/turn-update/update-pool.js';
import { AlgorithmConfig, GuardConfig, OptimizerConfig } from '../../../schemas/train-config.js';
import { TabularPolicy } from '../../support/tabular-policy.js';

const near = (a: number, b: number, tolerance = 1e-9): void =>
  assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a}, expected ${b}`);
const old = Math.log(1 / 4);

/** Pools of a policy that starts uniform over four tokens. */
const pool = fc
  .array(
    fc.record({
      task: fc.constantFrom('a', 'b', 'c'),
      tokens: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 4 }),
      advantage: fc.double({ min: -2, max: 2, noNaN: true }),
      suffixProduct: fc.double({ min: 0.5, max: 2, noNaN: true }),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((seats) =>
    seats.map(
      ({ task, tokens, advantage, suffixProduct }, i): PoolSample => ({
        id: `${task}#${i}`,
        taskId: task,
        promptIds: [0],
        responseIds: tokens,
        old: tokens.map(() => old),
        reference: tokens.map(() => old),
        advantage,
        suffixProduct,
        critic: {
          advantages: tokens.map((token) => advantage * (token + 1)),
          returns: tokens.map(() => advantage),
          values: tokens.map(() => 0),
        },
      }),
    ),
  );
/** PPO's advantages are per token; of all others, per response. */
const algorithms = ['seeupo', 'gspo', 'grpo', 'gigpo', 'turn-ppo', 'reinforce', 'ppo'] as const;
const algorithm = fc.constantFrom(...algorithms);

async function updated(samples: readonly PoolSample[], name: (typeof algorithms)[number], epochs = 2) {
  const policy = new TabularPolicy();
  const seats = name === 'ppo' ? samples : samples.map(({ critic: _, ...sample }) => sample);
  const result = await updatePool(
    policy,
    seats,
    {
      turn: 1,
      algorithm: AlgorithmConfig.parse({ name, epochs }),
      optimizer: OptimizerConfig.parse({ learningRate: 0.3 }),
      guard: GuardConfig.parse({}),
      temperature: 1,
      microBatchTokens: 8,
      maxResponseTokens: 8,
      randomKey: 'k',
      unmoved: true,
      ...(name === 'ppo' && { valueHead: { weights: [], first: [], second: [], steps: 0 } }),
    },
    () => undefined,
  );
  return { policy, ...result };
}

test('property: the order of a pool changes neither theta nor any trajectory’s ratio', () =>
  fc.assert(
    fc.asyncProperty(pool, algorithm, async (samples, name) => {
      const [a, b] = [await updated(samples, name), await updated([...samples].reverse(), name)];
      a.policy.logits.forEach((logit, v) => near(logit, b.policy.logits[v]!));
      for (const [id, ratio] of a.ratios) near(ratio, b.ratios.get(id)!);
      near(a.metrics.surrogateAfter, b.metrics.surrogateAfter);
      near(a.metrics.effectiveSampleSize, b.metrics.effectiveSampleSize);
    }),
  ));

test('property: a pool whose every trajectory stands twice makes the same update', () =>
  fc.assert(
    fc.asyncProperty(pool, algorithm, async (samples, name) => {
      const twice = samples.flatMap((sample) => [sample, { ...sample, id: `${sample.id}'` }]);
      const [a, b] = [await updated(samples, name), await updated(twice, name)];
      a.policy.logits.forEach((logit, v) => near(logit, b.policy.logits[v]!));
    }),
  ));

test('property: one trajectory that stands twice is one of double weight, to the first order in which an update is made', () =>
  fc.assert(
    fc.asyncProperty(pool, async (samples) => {
      // On-policy the step is linear in M: n responses, the first twice, against the first with 2 M, over n + 1 and n.
      const n = samples.length;
      const twice = await updated(
        [samples[0]!, ...samples].map((sample, i) => ({ ...sample, id: `${i}` })),
        'seeupo',
        1,
      );
      const heavy = await updated(
        [{ ...samples[0]!, advantage: 2 * samples[0]!.advantage }, ...samples.slice(1)],
        'seeupo',
        1,
      );
      twice.policy.logits.forEach((logit, v) => near(logit * (n + 1), heavy.policy.logits[v]! * n));
    }),
  ));

test('property: on-policy every ratio is 1, the surrogate is the mean of M, and nothing is clipped', () =>
  fc.assert(
    fc.property(pool, fc.constantFrom('seeupo', 'gspo', 'grpo'), (samples, name) => {
      const lengths = samples.map(({ responseIds }) => responseIds.length);
      const lossOf = batchLoss(AlgorithmConfig.parse({ name, klCoefficient: 0 }), lengths, 8);
      for (const { old, advantage, suffixProduct } of samples) {
        const weight = advantage * suffixProduct;
        const { ratio, surrogate, clipped, gradient } = lossOf({ current: old, old, reference: null, weight });
        assert.deepEqual([ratio, clipped], [1, false]);
        near(surrogate, weight);
        for (const g of gradient) near(g, -weight / old.length / samples.length);
      }
    }),
  ));

test('property: with one step from theta_k, the weights that later turns gave are all that tells SeeUPO from GSPO', () =>
  fc.assert(
    fc.asyncProperty(pool, async (samples) => {
      const unweighted = samples.map((sample) => ({ ...sample, suffixProduct: 1 }));
      const [seeupo, gspo] = [await updated(unweighted, 'seeupo', 1), await updated(unweighted, 'gspo', 1)];
      assert.deepEqual(seeupo.policy.logits, gspo.policy.logits);
    }),
  ));

test('property: who is inactive at a turn keeps its product, and nobody else’s depends on it', () => {
  const products = fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.double({ min: 0.1, max: 3, noNaN: true }), {
    minKeys: 2,
    maxKeys: 6,
  });
  fc.assert(
    fc.property(products, fc.double({ min: 0.1, max: 3, noNaN: true }), (given, ratio) => {
      const [inactive, ...active] = Object.keys(given) as [string, ...string[]];
      const off = { suffixRatioClip: null, suffixProductClip: null };
      const extended = extendSuffixProducts(given, new Map(active.map((id) => [id, ratio])), off);
      assert.equal(extended[inactive], given[inactive]);
      const { [inactive]: _, ...others } = given;
      const without = extendSuffixProducts(others, new Map(active.map((id) => [id, ratio])), off);
      for (const id of active) assert.equal(extended[id], without[id]);
    }),
  );
});

test('property: with statistics per turn pool, a trajectory that is inactive moves no other group’s advantages', () => {
  const reward = fc.double({ min: 0, max: 1, noNaN: true });
  const group = fc.array(reward, { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(group, group, (active, ended) => {
      const seats = (task: string, rewards: readonly number[]) =>
        rewards.map((value, g) => ({ id: `${task}#${g}`, taskId: task, reward: value }));
      const options = { normalization: 'batch', advantageClip: null } as const;
      const ids = new Set(seats('a', active).map(({ id }) => id));
      const both = groupRelativeAdvantages([...seats('a', active), ...seats('b', ended)], options, ids);
      const alone = groupRelativeAdvantages(seats('a', active), options, ids);
      for (const id of ids) near(both.get(id)!, alone.get(id)!, 1e-6);
    }),
  );
});

test('property: a constant added to all rewards of a task changes no step', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 5 }),
      fc.double({ min: -3, max: 3, noNaN: true }),
      async (rewards, shift) => {
        const theta = async (given: readonly number[]) => {
          const trajectories = given.map((value, g) => ({ id: `a#${g}`, taskId: 'a', reward: value }));
          const advantages = groupRelativeAdvantages(trajectories, { normalization: 'none', advantageClip: null });
          const samples = trajectories.map(
            ({ id, taskId }, g): PoolSample => ({
              id,
              taskId,
              promptIds: [0],
              responseIds: [g % 4],
              old: [old],
              reference: [old],
              advantage: advantages.get(id)!,
              suffixProduct: 1,
            }),
          );
          return (await updated(samples, 'seeupo')).policy.logits;
        };
        const [as, moved] = [await theta(rewards), await theta(rewards.map((value) => value + shift))];
        as.forEach((logit, v) => near(logit, moved[v]!));
      },
    ),
  ));
