import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { createGroupRollouts } from '../../../activities/grouping/group-rollouts.activity.js';
import { createCollectRollouts } from '../../../activities/rollout/collect-rollouts.activity.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { createScoreTrajectories } from '../../../activities/turn-update/score-trajectories.activity.js';
import { createUpdateTurn } from '../../../activities/turn-update/update-turn.activity.js';
import type { ArtifactRef } from '../../../schemas/artifact-ref.js';
import {
  SuffixProducts,
  TensorGroups,
  TurnStateManifest,
  ValueHead,
  type PolicyState,
} from '../../../schemas/turn-state.js';
import type { TrainConfigInput } from '../../../schemas/train-config.js';
import { GroupsManifest, ScoresManifest, TrajectoryScores } from '../../../schemas/turn-pool.js';
import { readGroups } from '../../../activities/grouping/read-groups.js';
import { openInput, toyConfig, toyDependencies, toyTasks } from '../../support/run-on-paper.js';
import { TabularPolicy } from '../../support/tabular-policy.js';

const theta: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };

/** Steps 1 to 3 of an iteration of the toy game, and a policy that can be updated. */
async function scoredIteration(
  algorithm: TrainConfigInput['algorithm'] = { name: 'seeupo' },
  rest: Partial<TrainConfigInput> = {},
) {
  const toy = toyDependencies(toyTasks);
  const policy = new TabularPolicy(300);
  const dependencies = {
    ...toy.dependencies,
    policy: { ...toy.dependencies.policy, ...bound(policy), sample: toy.dependencies.policy.sample },
  };
  const config = {
    ...toyConfig,
    algorithm,
    rollout: { ...toyConfig.rollout, groupSize: 4, tasksPerShard: 3 },
    optimizer: { learningRate: 0.5 },
    ...rest,
  };
  const { run } = await createOpenRun(dependencies)(openInput('run-1', config));
  const { manifest: shard } = await createCollectRollouts(dependencies)({ run, iteration: 0, shard: 0, policy: theta });
  const groups = await createGroupRollouts(dependencies)({ run, iteration: 0, shards: [shard] });
  const scores = await createScoreTrajectories(dependencies)({
    run,
    iteration: 0,
    groups: groups.manifest,
    policy: theta,
  });
  const input = { run, iteration: 0, groups: groups.manifest, scores: scores.manifest };
  const again = createScoreTrajectories(dependencies);
  return { ...toy, policy, groups, input, again, update: createUpdateTurn(dependencies) };
}
const bound = (policy: TabularPolicy) => ({
  use: policy.use.bind(policy),
  useMoments: policy.useMoments.bind(policy),
  logProbs: policy.logProbs.bind(policy),
  values: policy.values.bind(policy),
  step: policy.step.bind(policy),
  trained: policy.trained.bind(policy),
  trainedGroup: policy.trainedGroup.bind(policy),
});

test('M keeps the seats: who did not play turn 2 keeps a product of 1, who did has its ratio', async () => {
  const { artifacts, groups, input, update } = await scoredIteration();
  const two = await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null });
  const products = await artifacts.getJson(two.suffixProducts, SuffixProducts);
  const { seated } = await readGroups(artifacts, groups.manifest);
  assert.equal(Object.keys(products).length, seated.length);
  assert.ok(
    seated.some(({ turns }) => turns === 1) && seated.some(({ turns }) => turns === 2),
    'the toy game has both',
  );
  for (const { id, turns } of seated) assert.equal(products[id] === 1, turns === 1, id);
  assert.equal(two.metrics.active, groups.active[1]);
});

test('turn 1 goes on from the weights, the steps and the products of turn 2', async () => {
  const { artifacts, policy, input, update } = await scoredIteration();
  const two = await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null });
  assert.equal(two.policy.optimizerSteps, 1);
  const before = await artifacts.getJson(two.suffixProducts, SuffixProducts);
  policy.logits = policy.logits.map(() => 99); // whatever the device held in between
  const one = await update({
    ...input,
    turn: 1,
    updatedBefore: [2],
    policy: two.policy,
    suffixProducts: two.suffixProducts,
  });
  assert.equal(one.policy.optimizerSteps, 2);
  assert.notEqual(one.policy.adapter!.sha256, two.policy.adapter!.sha256);
  const after = await artifacts.getJson(one.suffixProducts, SuffixProducts);
  for (const [id, product] of Object.entries(after)) assert.notEqual(product, before[id], `${id} played turn 1`);
});

test('an update that was committed is found: theta is stepped once, however often it is asked for', async () => {
  const { policy, input, update } = await scoredIteration();
  const first = await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null });
  const steps = policy.calls.filter((call) => call.startsWith('step')).length;
  assert.deepEqual(await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null }), first);
  assert.equal(policy.calls.filter((call) => call.startsWith('step')).length, steps);
});

test('the same update on another worker gives the same bytes', async () => {
  const shas = [];
  for (let worker = 0; worker < 2; worker++) {
    const { input, update } = await scoredIteration();
    const { policy, suffixProducts } = await update({
      ...input,
      turn: 2,
      updatedBefore: [],
      policy: theta,
      suffixProducts: null,
    });
    shas.push([policy.adapter!.sha256, policy.moments!.sha256, suffixProducts.sha256]);
  }
  assert.deepEqual(shas[0], shas[1]);
});

test('groups hold every trajectory once, with its pool sizes', async () => {
  const { artifacts, groups } = await scoredIteration();
  const manifest = await artifacts.getJson(groups.manifest, GroupsManifest);
  assert.equal(manifest.active[0], 12); // 3 tasks x 4 samples
  assert.equal(manifest.groups, 3);
});

for (const name of ['reinforce', 'grpo', 'gspo', 'gigpo', 'ppo', 'turn-ppo'] as const) {
  test(`${name} updates the turns of all trajectories at once, as one pool, and leaves M alone`, async () => {
    const { artifacts, groups, input, update } = await scoredIteration({ name });
    assert.equal(groups.turns, 1);
    const { seated } = await readGroups(artifacts, groups.manifest);
    const one = await update({ ...input, turn: 1, updatedBefore: [], policy: theta, suffixProducts: null });
    assert.equal(
      one.metrics.active,
      seated.reduce((total, { turns }) => total + turns, 0),
    );
    assert.equal(one.metrics.optimizerSteps, 1);
    assert.ok(
      Object.values(await artifacts.getJson(one.suffixProducts, SuffixProducts)).every((product) => product === 1),
    );
  });
}

test('exact-suffix weighs turn 1 by turn 2 at the theta it finds; with one update in between that is the running product', async () => {
  const after = async (algorithm: TrainConfigInput['algorithm']) => {
    const { artifacts, input, update, policy } = await scoredIteration(algorithm);
    const two = await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null });
    const one = await update({
      ...input,
      turn: 1,
      updatedBefore: [2],
      policy: two.policy,
      suffixProducts: two.suffixProducts,
    });
    return {
      products: await artifacts.getJson(one.suffixProducts, SuffixProducts),
      passes: policy.calls.filter((call) => call.startsWith('logProbs current')).length,
    };
  };
  const [exact, running] = [
    await after({ name: 'seeupo', objective: 'exact-suffix' }),
    await after({ name: 'seeupo' }),
  ];
  assert.deepEqual(exact.products, running.products);
  assert.equal(exact.passes, running.passes + 1);
});

test('the objective of the authors runs through the whole step: products stay within their clamp', async () => {
  const { artifacts, input, update } = await scoredIteration({ name: 'seeupo', objective: 'authors' });
  const two = await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null });
  for (const product of Object.values(await artifacts.getJson(two.suffixProducts, SuffixProducts)))
    assert.ok(0.8 <= product && product <= 1.2);
});

test('full training stores theta and moments as a blob per tensor group, and goes on from them as an adapter does', async () => {
  const [lora, full] = [await scoredIteration(), await scoredIteration({ name: 'seeupo' }, { training: 'full' })];
  const stepped = async ({ input, update, policy }: typeof lora) => {
    const two = await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null });
    policy.logits = policy.logits.map(() => 99); // whatever the device held in between
    const one = await update({
      ...input,
      turn: 1,
      updatedBefore: [2],
      policy: two.policy,
      suffixProducts: two.suffixProducts,
    });
    return { policy: one.policy, logits: policy.logits };
  };
  const [ofLora, ofFull] = [await stepped(lora), await stepped(full)];
  assert.deepEqual(ofFull.logits, ofLora.logits);
  assert.equal(ofFull.policy.adapter, null);
  assert.equal(ofFull.policy.optimizerSteps, 2);
  const json = async (ref: ArtifactRef): Promise<unknown> =>
    JSON.parse(Buffer.from(await full.artifacts.getBlob(ref)).toString()) as unknown;
  const weights = await full.artifacts.getJson(ofFull.policy.weights!, TensorGroups);
  assert.deepEqual((await Promise.all(weights.map(json))).flat(), ofFull.logits);
  const moments = await full.artifacts.getJson(ofFull.policy.moments!, TensorGroups);
  assert.deepEqual(await Promise.all(moments.map(json)), [
    { group: 0, stepsTaken: 2 },
    { group: 1, stepsTaken: 2 },
  ]);
});

test('the learning rate of each step follows the schedule: a step of the warm-up moves theta by its share', async () => {
  const movedBy = async (schedule: object): Promise<number[]> => {
    const { input, update, policy } = await scoredIteration(
      { name: 'seeupo' },
      { optimizer: { learningRate: 0.5, schedule } },
    );
    await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null });
    return policy.logits;
  };
  const [whole, quarter] = [await movedBy({}), await movedBy({ warmUpSteps: 4 })];
  // The first step from the same theta: the toy policy takes plain gradient steps, so they are in proportion.
  whole.forEach((logit, v) => assert.ok(Math.abs(quarter[v]! - logit / 4) < 1e-12));
  assert.ok(whole.some((logit) => logit !== 0));
});

test('a rejected update is committed as that: theta and its moments as the turn found them, every ratio 1, also for a retry', async () => {
  const { artifacts, policy, input, update } = await scoredIteration(
    { name: 'seeupo' },
    { guard: { onViolation: 'reject', maxKl: 1e-9 } },
  );
  const asked = { ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null };
  const two = await update(asked);
  assert.deepEqual(two.policy, theta);
  assert.deepEqual(two.metrics.guard, { decision: 'rejected', violations: ['kl-over-limit'] });
  assert.ok(
    Object.values(await artifacts.getJson(two.suffixProducts, SuffixProducts)).every((product) => product === 1),
  );
  assert.equal((await artifacts.getJson(two.manifest, TurnStateManifest)).metrics.guard.decision, 'rejected');
  const steps = policy.calls.filter((call) => call.startsWith('step')).length;
  assert.deepEqual(await update(asked), two);
  assert.equal(policy.calls.filter((call) => call.startsWith('step')).length, steps);
});

test('after a rejected turn the next one starts from the committed theta, whatever the device still holds', async () => {
  const { policy, input, update } = await scoredIteration(
    { name: 'seeupo' },
    { guard: { onViolation: 'reject', maxKl: 1e-9 } },
  );
  const two = await update({ ...input, turn: 2, updatedBefore: [], policy: theta, suffixProducts: null });
  assert.ok(
    policy.logits.some((logit) => logit !== 0),
    'the device still holds the rejected theta',
  );
  const one = await update({
    ...input,
    turn: 1,
    updatedBefore: [2],
    policy: two.policy,
    suffixProducts: two.suffixProducts,
  });
  const fresh = await scoredIteration({ name: 'seeupo' }, { guard: { onViolation: 'reject', maxKl: 1e-9 } });
  const alone = await fresh.update({ ...fresh.input, turn: 1, updatedBefore: [], policy: theta, suffixProducts: null });
  assert.deepEqual(one.metrics, alone.metrics);
});

test('exact-suffix follows whatever order the update is told, as a random one', async () => {
  const { artifacts, groups, policy, input, update } = await scoredIteration({
    name: 'seeupo',
    objective: 'exact-suffix',
    updateOrder: 'random',
  });
  const one = await update({ ...input, turn: 1, updatedBefore: [], policy: theta, suffixProducts: null });
  const old = Math.log(1 / 300);
  const { seated } = await readGroups(artifacts, groups.manifest);
  // Turn 2 is weighted by turn 1's ratio at the theta that it finds, worked out from the table of logits.
  policy.logits = JSON.parse(Buffer.from(await artifacts.getBlob(one.policy.adapter!)).toString()) as number[];
  const ratioOf = (ids: readonly number[]): number =>
    Math.exp(ids.reduce((total, id) => total + (policy.logProb(id) - old), 0) / ids.length);
  const expected = seated
    .filter(({ turns }) => turns > 1)
    .map(({ advantage, trajectory }) => advantage * ratioOf(trajectory.turns[0]!.responseIds));
  const two = await update({
    ...input,
    turn: 2,
    updatedBefore: [1],
    policy: one.policy,
    suffixProducts: one.suffixProducts,
  });
  assert.ok(Math.abs(two.metrics.weight.max - Math.max(...expected)) < 1e-9);
  assert.ok(Math.abs(two.metrics.weight.min - Math.min(...expected)) < 1e-9);
});

test('ppo: the value head starts at 0, is stepped and committed with theta, and its values enter the next scores', async () => {
  const { artifacts, input, update, again } = await scoredIteration({
    name: 'ppo',
    valueLearningRate: 0.25,
    normalization: 'none',
  });
  const one = await update({ ...input, turn: 1, updatedBefore: [], policy: theta, suffixProducts: null });
  const head = await artifacts.getJson(one.policy.valueHead!, ValueHead);
  assert.deepEqual([head.weights.length, head.steps], [5, 1]); // four states and the bias
  // All rewards are at least 0, so V rises from 0: the bias by AdamW's first step.
  assert.ok(Math.abs(head.weights[4]! - 0.25) < 1e-6);
  assert.equal(one.metrics.critic!.explainedVariance, 0);
  const next = await again({ run: input.run, iteration: 1, groups: input.groups, policy: one.policy });
  const { scores } = await artifacts.getJson(next.manifest, ScoresManifest);
  const values = (await artifacts.getJson(scores, z.array(TrajectoryScores))).flatMap(({ turns }) =>
    turns.flatMap((turn) => turn.values!),
  );
  for (const value of values)
    assert.ok(head.weights.slice(0, 4).some((weight) => Math.abs(value - weight - head.weights[4]!) < 1e-12));
});

test('ppo: with V = 0 and gamma = lambda = 1 every token has the reward as its advantage', async () => {
  const { artifacts, groups, input, update } = await scoredIteration({ name: 'ppo', normalization: 'none' });
  const { metrics } = await update({ ...input, turn: 1, updatedBefore: [], policy: theta, suffixProducts: null });
  const { seated } = await readGroups(artifacts, groups.manifest);
  const rewards = seated.flatMap(({ reward, trajectory }) => trajectory.turns.map(() => reward));
  assert.equal(metrics.weight.max, Math.max(...rewards));
  assert.ok(Math.abs(metrics.surrogateBefore - rewards.reduce((a, b) => a + b) / rewards.length) < 1e-12);
});
