import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createGroupRollouts } from '../../../activities/grouping/group-rollouts.activity.js';
import { createCollectRollouts } from '../../../activities/rollout/collect-rollouts.activity.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { createApplyGradients } from '../../../activities/turn-update/apply-gradients.activity.js';
import { createComputeGradient } from '../../../activities/turn-update/compute-gradient.activity.js';
import { createFinishTurn } from '../../../activities/turn-update/finish-turn.activity.js';
import { createMeasureRatios } from '../../../activities/turn-update/measure-ratios.activity.js';
import { createScoreTrajectories } from '../../../activities/turn-update/score-trajectories.activity.js';
import { shardOf } from '../../../activities/turn-update/shard-of.js';
import { createUpdateTurn } from '../../../activities/turn-update/update-turn.activity.js';
import type { UpdateTurnInput } from '../../../schemas/steps.js';
import type { TrainConfigInput } from '../../../schemas/train-config.js';
import { SuffixProducts, type PolicyState } from '../../../schemas/turn-state.js';
import { openInput, toyConfig, toyDependencies, toyTasks } from '../../support/run-on-paper.js';
import { TabularPolicy } from '../../support/tabular-policy.js';

const theta: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };

/** An iteration of the toy game up to its scores; each call of `worker` is another worker's policy. */
async function scored(algorithm: TrainConfigInput['algorithm'], shards: number, scoredOff = 0) {
  const toy = toyDependencies(toyTasks);
  const worker = (calls: string[] = []) => {
    const policy = new TabularPolicy(300);
    const own = Object.fromEntries(
      (['use', 'useMoments', 'logProbs', 'step', 'gradient', 'applyGradient', 'trained'] as const).map((name) => [
        name,
        (policy[name] as (...input: unknown[]) => unknown).bind(policy),
      ]),
    );
    const { logProbs } = own as Record<string, (...input: unknown[]) => Promise<number[][]>>;
    own['logProbs'] = async (...input: unknown[]) =>
      (await logProbs!(...input)).map((row) => row.map((logProb) => logProb + scoredOff));
    calls.push('new');
    return {
      ...toy.dependencies,
      policy: { ...toy.dependencies.policy, ...own, sample: toy.dependencies.policy.sample } as never,
    };
  };
  const config = {
    ...toyConfig,
    algorithm,
    update: { shards },
    rollout: { ...toyConfig.rollout, groupSize: 4, tasksPerShard: 3 },
    optimizer: { learningRate: 0.5 },
  };
  const { run } = await createOpenRun(worker())(openInput('run-1', config));
  const { manifest: shard } = await createCollectRollouts(worker())({ run, iteration: 0, shard: 0, policy: theta });
  const groups = await createGroupRollouts(worker())({ run, iteration: 0, shards: [shard] });
  const scores = await createScoreTrajectories(worker())({ run, iteration: 0, groups: groups.manifest, policy: theta });
  const input: UpdateTurnInput = {
    run,
    iteration: 0,
    turn: 2,
    updatedBefore: [],
    groups: groups.manifest,
    scores: scores.manifest,
    policy: theta,
    suffixProducts: null,
  };
  return { ...toy, worker, run, input };
}

/** What the workflow does, with a new worker for each activity, and the shards in any order. */
async function spread(
  { worker, run, input }: Awaited<ReturnType<typeof scored>>,
  order: (shards: number[]) => number[] = (shards) => shards,
) {
  const { shards, steps } = run.spread!;
  const inShards = async (work: (shard: number) => Promise<{ manifest: UpdateTurnInput['groups'] }>) => {
    const made = new Map<number, UpdateTurnInput['groups']>();
    for (const shard of order(Array.from({ length: shards }, (_, n) => n)))
      made.set(shard, (await work(shard)).manifest);
    return Array.from({ length: shards }, (_, shard) => made.get(shard)!);
  };
  let stepped = input.policy;
  const taken = [];
  for (let step = 0; step < steps; step++) {
    const gradients = await inShards((shard) =>
      createComputeGradient(worker())({ ...input, step, shard, shards, stepped }),
    );
    const moved = await createApplyGradients(worker())({ ...input, step, stepped, gradients });
    stepped = moved.policy;
    taken.push(moved.manifest);
  }
  const ratios = await inShards((shard) => createMeasureRatios(worker())({ ...input, shard, shards, stepped }));
  return createFinishTurn(worker())({ ...input, stepped, steps: taken, ratios });
}

test('shards are whole tasks, each sample is in exactly one, and none is larger than another by more than a task', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 12 }),
      (tasks, shards) => {
        const samples = tasks.map((task, id) => ({ id, taskId: `task-${task}` }));
        const dealt = Array.from({ length: shards }, (_, shard) => shardOf(samples, shard, shards));
        assert.deepEqual(
          dealt
            .flat()
            .map(({ id }) => id)
            .sort((a, b) => a - b),
          samples.map(({ id }) => id),
        );
        const rows = dealt.map((shard) => new Set(shard.map(({ taskId }) => taskId)).size);
        assert.equal(
          rows.reduce((a, b) => a + b, 0),
          new Set(tasks).size,
        ); // no task in two shards
        assert.ok(Math.max(...rows) - Math.min(...rows) <= 1);
      },
    ),
  );
});

for (const algorithm of [
  { name: 'seeupo', epochs: 2, minibatches: 2 },
  { name: 'seeupo', objective: 'authors', minibatches: 2 },
  { name: 'seeupo', suffixRatio: 'density', suffixRatioClip: [0.5, 2], minibatches: 2 },
  { name: 'grpo', minibatches: 2 },
] as TrainConfigInput['algorithm'][]) {
  test(`${JSON.stringify(algorithm)}: a turn in shards is the turn in one piece, but for rounding`, async () => {
    const [pieces, one] = [await scored(algorithm, 2), await scored(algorithm, 1)];
    const turn = algorithm.name === 'seeupo' ? 2 : 1;
    const found = await spread({ ...pieces, input: { ...pieces.input, turn } });
    const expected = await createUpdateTurn(one.worker())({ ...one.input, turn });
    assert.equal(found.policy.optimizerSteps, expected.policy.optimizerSteps);
    assert.ok(found.policy.optimizerSteps > 1);
    const logits = async (toy: typeof one, { policy }: typeof found) =>
      JSON.parse(Buffer.from(await toy.artifacts.getBlob(policy.adapter!)).toString()) as number[];
    const [ours, theirs] = [await logits(pieces, found), await logits(one, expected)];
    assert.ok(
      theirs.some((logit) => Math.abs(logit) > 1e-3),
      'the turn moves theta',
    );
    ours.forEach((logit, v) =>
      assert.ok(Math.abs(logit - theirs[v]!) < 1e-12, `logit ${v} is ${logit}, expected ${theirs[v]}`),
    );
    const [products, expectedProducts] = [
      await pieces.artifacts.getJson(found.suffixProducts, SuffixProducts),
      await one.artifacts.getJson(expected.suffixProducts, SuffixProducts),
    ];
    for (const [id, product] of Object.entries(expectedProducts))
      assert.ok(Math.abs(products[id]! - product) < 1e-12, id);
    const figures = (value: unknown): number[] =>
      typeof value === 'number'
        ? [value]
        : typeof value === 'object' && value !== null
          ? Object.values(value).flatMap(figures)
          : [];
    for (const [name, value] of Object.entries(expected.metrics)) {
      const other = figures(found.metrics[name as 'loss']);
      figures(value).forEach((figure, i) =>
        assert.ok(Math.abs(other[i]! - figure) < 1e-12, `${name} is ${other}, expected ${figures(value)}`),
      );
    }
    assert.deepEqual(found.metrics.guard, expected.metrics.guard);
  });
}

test('the second turn of the order, more minibatches than tasks: in shards the surrogate before is that of theta as found, too', async () => {
  const algorithm = { name: 'seeupo', epochs: 2, minibatches: 3 } as const;
  const [pieces, one] = [await scored(algorithm, 2), await scored(algorithm, 1)];
  const after = ({ policy, suffixProducts }: Awaited<ReturnType<typeof spread>>) => ({
    turn: 1,
    updatedBefore: [2],
    policy,
    suffixProducts,
  });
  const found = await spread({ ...pieces, input: { ...pieces.input, ...after(await spread(pieces)) } });
  const update = createUpdateTurn(one.worker());
  const expected = await update({ ...one.input, ...after(await update(one.input)) });
  assert.ok(Math.abs(expected.metrics.surrogateBefore) > 1e-3, 'the first turn has moved it');
  for (const name of ['surrogateBefore', 'surrogateAfter', 'loss'] as const)
    assert.ok(
      Math.abs(found.metrics[name] - expected.metrics[name]) < 1e-12,
      `${name} is ${found.metrics[name]}, expected ${expected.metrics[name]}`,
    );
});

test('where ratios start at 1 they are 1 at the first step however scoring rounded, in shards and in one piece: a tight clip does not act', async () => {
  for (const algorithm of [
    { name: 'seeupo' },
    { name: 'seeupo', objective: 'authors' },
    { name: 'gspo' },
    { name: 'grpo' },
  ] as const) {
    const tight = { ...algorithm, clip: { low: 3e-4, high: 4e-4 }, klCoefficient: 0 };
    const turn = algorithm.name === 'seeupo' ? 2 : 1;
    const adapters: number[][] = [];
    for (const off of [0, 0.02, -0.02]) {
      const [pieces, one] = [await scored(tight, 2, off), await scored(tight, 1, off)];
      adapters.push(
        JSON.parse(
          Buffer.from(
            await pieces.artifacts.getBlob(
              (await spread({ ...pieces, input: { ...pieces.input, turn } })).policy.adapter!,
            ),
          ).toString(),
        ) as number[],
      );
      adapters.push(
        JSON.parse(
          Buffer.from(
            await one.artifacts.getBlob((await createUpdateTurn(one.worker())({ ...one.input, turn })).policy.adapter!),
          ).toString(),
        ) as number[],
      );
    }
    assert.ok(
      adapters[0]!.some((logit) => Math.abs(logit) > 1e-3),
      'the turn moves theta',
    );
    for (const adapter of adapters)
      adapter.forEach((logit, v) =>
        assert.ok(Math.abs(logit - adapters[0]![v]!) < 1e-12, `${algorithm.name}: logit ${v}`),
      );
  }
});

test('the order in which shards are computed changes nothing, nor does computing them again', async () => {
  const algorithm = { name: 'seeupo', minibatches: 1 } as const;
  const [forward, backward] = [await scored(algorithm, 3), await scored(algorithm, 3)];
  const [one, two] = [await spread(forward), await spread(backward, (shards) => shards.toReversed())];
  assert.deepEqual(
    [two.policy.adapter, two.policy.moments, two.suffixProducts],
    [one.policy.adapter, one.policy.moments, one.suffixProducts],
  );
  const objects = forward.artifacts.objects.size;
  assert.deepEqual(await spread(forward), one);
  assert.equal(forward.artifacts.objects.size, objects);
});

test('more shards than tasks: the rest has nothing to add', async () => {
  const algorithm = { name: 'seeupo', minibatches: 1 } as const;
  const [three, many] = [await spread(await scored(algorithm, 3)), await spread(await scored(algorithm, 7))];
  assert.deepEqual(many.policy.adapter, three.policy.adapter); // three tasks: each its own shard either way
});

test('exact suffix ratios need the whole pool: they are refused with shards', async () => {
  await assert.rejects(
    scored({ name: 'seeupo', objective: 'exact-suffix' }, 2),
    /update\.shards is 2, but suffixRatio "exact"/,
  );
});
