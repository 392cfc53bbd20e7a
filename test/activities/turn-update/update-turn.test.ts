import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGroupRollouts } from '../../../activities/grouping/group-rollouts.activity.js';
import { createCollectRollouts } from '../../../activities/rollout/collect-rollouts.activity.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { createScoreTrajectories } from '../../../activities/turn-update/score-trajectories.activity.js';
import { createUpdateTurn } from '../../../activities/turn-update/update-turn.activity.js';
import type { ArtifactRef } from '../../../schemas/artifact-ref.js';
import { SuffixProducts, TensorGroups, type PolicyState } from '../../../schemas/turn-state.js';
import type { TrainConfigInput } from '../../../schemas/train-config.js';
import { GroupsManifest } from '../../../schemas/turn-pool.js';
import { readGroups } from '../../../activities/grouping/read-groups.js';
import { openInput, toyConfig, toyDependencies, toyTasks } from '../../support/run-on-paper.js';
import { TabularPolicy } from '../../support/tabular-policy.js';

const theta: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };

/** Steps 1 to 3 of an iteration of the toy game, and a policy that can be updated. */
async function scoredIteration(algorithm: TrainConfigInput['algorithm'] = { name: 'seeupo' }, rest: Partial<TrainConfigInput> = {}) {
  const toy = toyDependencies(toyTasks);
  const policy = new TabularPolicy(300);
  const dependencies = { ...toy.dependencies, policy: { ...toy.dependencies.policy, ...bound(policy), sample: toy.dependencies.policy.sample } };
  const config = { ...toyConfig, algorithm, rollout: { ...toyConfig.rollout, groupSize: 4, tasksPerShard: 3 }, optimizer: { learningRate: 0.5 }, ...rest };
  const { run } = await createOpenRun(dependencies)(openInput('run-1', config));
  const { manifest: shard } = await createCollectRollouts(dependencies)({ run, iteration: 0, shard: 0, policy: theta });
  const groups = await createGroupRollouts(dependencies)({ run, iteration: 0, shards: [shard] });
  const scores = await createScoreTrajectories(dependencies)({ run, iteration: 0, groups: groups.manifest, policy: theta });
  const input = { run, iteration: 0, groups: groups.manifest, scores: scores.manifest };
  return { ...toy, policy, groups, input, update: createUpdateTurn(dependencies) };
}
const bound = (policy: TabularPolicy) => ({
  use: policy.use.bind(policy),
  useMoments: policy.useMoments.bind(policy),
  logProbs: policy.logProbs.bind(policy),
  step: policy.step.bind(policy),
  trained: policy.trained.bind(policy),
  trainedGroup: policy.trainedGroup.bind(policy),
});

test('M keeps the seats: who did not play turn 2 keeps a product of 1, who did has its ratio', async () => {
  const { artifacts, groups, input, update } = await scoredIteration();
  const two = await update({ ...input, turn: 2, policy: theta, suffixProducts: null });
  const products = await artifacts.getJson(two.suffixProducts, SuffixProducts);
  const { seated } = await readGroups(artifacts, groups.manifest);
  assert.equal(Object.keys(products).length, seated.length);
  assert.ok(seated.some(({ turns }) => turns === 1) && seated.some(({ turns }) => turns === 2), 'the toy game has both');
  for (const { id, turns } of seated) assert.equal(products[id] === 1, turns === 1, id);
  assert.equal(two.metrics.active, groups.active[1]);
});

test('turn 1 goes on from the weights, the steps and the products of turn 2', async () => {
  const { artifacts, policy, input, update } = await scoredIteration();
  const two = await update({ ...input, turn: 2, policy: theta, suffixProducts: null });
  assert.equal(two.policy.optimizerSteps, 1);
  const before = await artifacts.getJson(two.suffixProducts, SuffixProducts);
  policy.logits = policy.logits.map(() => 99); // whatever the device held in between
  const one = await update({ ...input, turn: 1, policy: two.policy, suffixProducts: two.suffixProducts });
  assert.equal(one.policy.optimizerSteps, 2);
  assert.notEqual(one.policy.adapter!.sha256, two.policy.adapter!.sha256);
  const after = await artifacts.getJson(one.suffixProducts, SuffixProducts);
  for (const [id, product] of Object.entries(after)) assert.notEqual(product, before[id], `${id} played turn 1`);
});

test('an update that was committed is found: theta is stepped once, however often it is asked for', async () => {
  const { policy, input, update } = await scoredIteration();
  const first = await update({ ...input, turn: 2, policy: theta, suffixProducts: null });
  const steps = policy.calls.filter((call) => call.startsWith('step')).length;
  assert.deepEqual(await update({ ...input, turn: 2, policy: theta, suffixProducts: null }), first);
  assert.equal(policy.calls.filter((call) => call.startsWith('step')).length, steps);
});

test('the same update on another worker gives the same bytes', async () => {
  const shas = [];
  for (let worker = 0; worker < 2; worker++) {
    const { input, update } = await scoredIteration();
    const { policy, suffixProducts } = await update({ ...input, turn: 2, policy: theta, suffixProducts: null });
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

for (const name of ['reinforce', 'grpo', 'gspo'] as const) {
  test(`${name} updates the turns of all trajectories at once, as one pool, and leaves M alone`, async () => {
    const { artifacts, groups, input, update } = await scoredIteration({ name });
    assert.equal(groups.turns, 1);
    const { seated } = await readGroups(artifacts, groups.manifest);
    const one = await update({ ...input, turn: 1, policy: theta, suffixProducts: null });
    assert.equal(one.metrics.active, seated.reduce((total, { turns }) => total + turns, 0));
    assert.equal(one.metrics.optimizerSteps, 1);
    assert.ok(Object.values(await artifacts.getJson(one.suffixProducts, SuffixProducts)).every((product) => product === 1));
  });
}

test('exact-suffix weighs turn 1 by turn 2 at the theta it finds; with one update in between that is the running product', async () => {
  const after = async (algorithm: TrainConfigInput['algorithm']) => {
    const { artifacts, input, update, policy } = await scoredIteration(algorithm);
    const two = await update({ ...input, turn: 2, policy: theta, suffixProducts: null });
    const one = await update({ ...input, turn: 1, policy: two.policy, suffixProducts: two.suffixProducts });
    return { products: await artifacts.getJson(one.suffixProducts, SuffixProducts), passes: policy.calls.filter((call) => call.startsWith('logProbs current')).length };
  };
  const [exact, running] = [await after({ name: 'seeupo', objective: 'exact-suffix' }), await after({ name: 'seeupo' })];
  assert.deepEqual(exact.products, running.products);
  assert.equal(exact.passes, running.passes + 1);
});

test('the objective of the authors runs through the whole step: products stay within their clamp', async () => {
  const { artifacts, input, update } = await scoredIteration({ name: 'seeupo', objective: 'authors' });
  const two = await update({ ...input, turn: 2, policy: theta, suffixProducts: null });
  for (const product of Object.values(await artifacts.getJson(two.suffixProducts, SuffixProducts))) assert.ok(0.8 <= product && product <= 1.2);
});

test('full training stores theta and moments as a blob per tensor group, and goes on from them as an adapter does', async () => {
  const [lora, full] = [await scoredIteration(), await scoredIteration({ name: 'seeupo' }, { training: 'full' })];
  const stepped = async ({ input, update, policy }: typeof lora) => {
    const two = await update({ ...input, turn: 2, policy: theta, suffixProducts: null });
    policy.logits = policy.logits.map(() => 99); // whatever the device held in between
    const one = await update({ ...input, turn: 1, policy: two.policy, suffixProducts: two.suffixProducts });
    return { policy: one.policy, logits: policy.logits };
  };
  const [ofLora, ofFull] = [await stepped(lora), await stepped(full)];
  assert.deepEqual(ofFull.logits, ofLora.logits);
  assert.equal(ofFull.policy.adapter, null);
  assert.equal(ofFull.policy.optimizerSteps, 2);
  const json = async (ref: ArtifactRef): Promise<unknown> => JSON.parse(Buffer.from(await full.artifacts.getBlob(ref)).toString()) as unknown;
  const weights = await full.artifacts.getJson(ofFull.policy.weights!, TensorGroups);
  assert.deepEqual((await Promise.all(weights.map(json))).flat(), ofFull.logits);
  const moments = await full.artifacts.getJson(ofFull.policy.moments!, TensorGroups);
  assert.deepEqual(await Promise.all(moments.map(json)), [{ group: 0, stepsTaken: 2 }, { group: 1, stepsTaken: 2 }]);
});

test('the learning rate of each step follows the schedule: a step of the warm-up moves theta by its share', async () => {
  const movedBy = async (schedule: object): Promise<number[]> => {
    const { input, update, policy } = await scoredIteration({ name: 'seeupo' }, { optimizer: { learningRate: 0.5, schedule } });
    await update({ ...input, turn: 2, policy: theta, suffixProducts: null });
    return policy.logits;
  };
  const [whole, quarter] = [await movedBy({}), await movedBy({ warmUpSteps: 4 })];
  // The first step from the same theta: the toy policy takes plain gradient steps, so they are in proportion.
  whole.forEach((logit, v) => assert.ok(Math.abs(quarter[v]! - logit / 4) < 1e-12));
  assert.ok(whole.some((logit) => logit !== 0));
});
