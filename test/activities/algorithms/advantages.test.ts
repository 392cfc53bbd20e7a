import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GrpoConfig, SeeupoConfig } from '../../../schemas/train-config.js';
import {
  groupRelativeAdvantages,
  groupsWithoutVariance,
  type RewardedTrajectory,
} from '../../../activities/algorithms/advantages.js';

const batch = (rewards: Record<string, number[]>): RewardedTrajectory[] =>
  Object.entries(rewards).flatMap(([taskId, group]) =>
    group.map((reward, g) => ({ id: `${taskId}#${g}`, taskId, reward })),
  );
const plain = { normalization: 'none', advantageClip: null } as const;
const values = (map: Map<string, number>): number[] => [...map.values()];
const close = (a: readonly number[], b: readonly number[], tolerance = 1e-9): void => {
  assert.equal(a.length, b.length);
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]!) <= tolerance, `element ${i}: ${value}, expected ${b[i]}`));
};

test('Eq. 9: an advantage is the reward minus the mean of its own group only', () => {
  // group means 0.5 and 2
  close(values(groupRelativeAdvantages(batch({ a: [1, 0], b: [3, 1] }), plain)), [0.5, -0.5, 1, -1]);
});

test('batch normalisation divides every group by one and the same deviation', () => {
  // centred 0.5 -0.5 1 -1: mean 0, variance (0.25 + 0.25 + 1 + 1) / 4 = 0.625
  const scale = Math.sqrt(0.625) + 1e-6;
  close(values(groupRelativeAdvantages(batch({ a: [1, 0], b: [3, 1] }), { ...plain, normalization: 'batch' })), [
    0.5 / scale,
    -0.5 / scale,
    1 / scale,
    -1 / scale,
  ]);
});

test('group normalisation divides each group by its own deviation', () => {
  close(values(groupRelativeAdvantages(batch({ a: [1, 0], b: [3, 1] }), { ...plain, normalization: 'group' })), [
    0.5 / 0.500001,
    -0.5 / 0.500001,
    1 / 1.000001,
    -1 / 1.000001,
  ]);
});

test('`authors`: statistics over all trajectories, ended ones included, over n - 1: values of the special_norm of their code, by torch', () => {
  // One group, of which half failed at turn 1: the pool of turn 2 has the last four, and their code all eight rows.
  const authors = SeeupoConfig.parse({ name: 'seeupo', objective: 'authors', rewardShaping: 'none' });
  assert.deepEqual([authors.advantageStatistics, authors.deviation], ['iteration', 'sample']);
  const found = values(groupRelativeAdvantages(batch({ a: [0, 0, 0, 0, 0.5, 0.5, 1, 1] }), authors));
  close(found.slice(4), [0.2820380374, 0.2820380374, 1.4101901869, 1.4101901869], 1e-5); // they add no epsilon
});

test('GRPO divides by n - 1, as TRL and verl do: values by torch.std', () => {
  const grpo = GrpoConfig.parse({ name: 'grpo' });
  close(
    values(groupRelativeAdvantages(batch({ a: [1, 0, 0.25, 0.5], b: [3, 1] }), grpo)),
    [1.3174622, -1.0246928, -0.4391541, 0.1463847, 0.7071063, -0.7071063],
    1e-6,
  );
  // A run of before, whose configuration is silent about it, means what it meant.
  close(
    values(groupRelativeAdvantages(batch({ b: [3, 1] }), { normalization: 'group', advantageClip: null })),
    [1, -1],
    1e-5,
  );
});

test('advantageClip bounds the normalised advantage', () => {
  const clipped = groupRelativeAdvantages(batch({ a: [9, 0, 0, 0] }), { normalization: 'batch', advantageClip: 1 });
  assert.equal(clipped.get('a#0'), 1);
});

test('a group of one sample is refused by name', () => {
  assert.throws(() => groupRelativeAdvantages(batch({ lonely: [1] }), plain), {
    name: 'ShapeError',
    message: /task lonely has 1 sample.*rollout\.groupSize/,
  });
});

test('a group whose rewards are equal has no variance', () => {
  assert.equal(groupsWithoutVariance(batch({ a: [1, 1], b: [0, 1], c: [0, 0] })), 2);
});

const rewards = fc.dictionary(
  fc.stringMatching(/^[a-z]{1,6}$/),
  fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 2, maxLength: 6 }),
  { minKeys: 1, maxKeys: 5 },
);
const normalization = fc.constantFrom('batch' as const, 'group' as const, 'none' as const);

test('property: the order of trajectories changes no advantage', () => {
  fc.assert(
    fc.property(rewards, normalization, fc.infiniteStream(fc.nat()), (given, how, noise) => {
      const ordered = batch(given);
      const keys = ordered.map(() => noise.next().value as number);
      const shuffled = ordered
        .map((t, i) => [keys[i]!, t] as const)
        .sort(([a], [b]) => a - b)
        .map(([, t]) => t);
      const options = { normalization: how, advantageClip: null };
      const [a, b] = [groupRelativeAdvantages(ordered, options), groupRelativeAdvantages(shuffled, options)];
      for (const [id, value] of a) assert.ok(Math.abs(value - b.get(id)!) < 1e-6);
    }),
  );
});

test('property: a constant added to all rewards of a task changes nothing', () => {
  fc.assert(
    fc.property(rewards, fc.double({ min: -3, max: 3, noNaN: true }), (given, shift) => {
      const [first, ...others] = Object.entries(given) as [[string, number[]], ...[string, number[]][]];
      const moved = Object.fromEntries([[first[0], first[1].map((r) => r + shift)], ...others]);
      const [a, b] = [groupRelativeAdvantages(batch(given), plain), groupRelativeAdvantages(batch(moved), plain)];
      for (const [id, value] of a) assert.ok(Math.abs(value - b.get(id)!) < 1e-9);
    }),
  );
});
