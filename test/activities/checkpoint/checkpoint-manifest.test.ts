import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryStore } from '../../../activities/artifacts/memory-store.js';
import { canonicalJson, inputHashOf } from '../../../activities/artifacts/canonical-json.js';
import { keys } from '../../../activities/artifacts/store.js';
import { createCommitCheckpoint } from '../../../activities/checkpoint/commit-checkpoint.activity.js';
import { Timing, type TurnUpdateMetrics } from '../../../schemas/metrics.js';
import { RolloutShardManifest } from '../../../schemas/rollout.js';
import { CheckpointManifest } from '../../../schemas/checkpoint.js';
import { GroupsManifest, ScoresManifest } from '../../../schemas/turn-pool.js';
import { TurnStateManifest } from '../../../schemas/turn-state.js';
import type { ArtifactRef } from '../../../schemas/artifact-ref.js';
import { policyState, ref } from '../../support/fake-activities.js';
import { storedRun } from '../../support/stored-run.js';
import { runManifest } from '../report/fixture.js';

const inputHash = inputHashOf('test');
const metrics = {
  trajectories: 4,
  meanReward: 0.5,
  successRate: 0.25,
  turnPassRate: [0.75, 0.25],
  meanResponseTokens: 5,
  sampledTokens: 20,
  truncatedRate: 0,
  malformedCallRate: 0,
};
const ones = { min: 1, p05: 1, p50: 1, p95: 1, max: 1 };
const turnMetrics = (turn: number, klReference: number): TurnUpdateMetrics => ({
  turn,
  active: 4,
  optimizerSteps: 1,
  loss: 0,
  surrogateBefore: 0,
  surrogateAfter: 0.1,
  klReference,
  klIteration: 0,
  clipFraction: 0,
  ratioMean: 1,
  ratio: ones,
  weight: ones,
  effectiveSampleSize: 1,
  groupsWithoutVariance: 0,
  entropy: 1,
  gradientNorm: 1,
  critic: null,
  guard: { decision: 'kept', violations: [] },
});
/** An iteration with two shards and two turns, in a store. */
async function iteration(k = 3, turns: readonly number[] = [2, 1]) {
  const artifacts = createMemoryStore();
  const run = await storedRun(artifacts, runManifest({ runId: 'run-1' }));
  const rollouts = await Promise.all(
    [0, 1].map(
      async (shard) =>
        (
          await artifacts.commitManifest(
            keys.rolloutShard('run-1', k, shard),
            { kind: 'rollout-shard', inputHash, shard, trajectories: ref(`t${shard}`), metrics },
            RolloutShardManifest,
          )
        ).ref,
    ),
  );
  const groups = (
    await artifacts.commitManifest(
      keys.groups('run-1', k),
      {
        kind: 'groups',
        inputHash,
        turns: 2,
        active: [4, 3],
        groupsWithoutVariance: 1,
        groups: 2,
        trajectories: ref('g'),
        shards: [ref('t0'), ref('t1')],
        metrics,
      },
      GroupsManifest,
    )
  ).ref;
  const scores = (
    await artifacts.commitManifest(
      keys.scores('run-1', k),
      { kind: 'scores', inputHash, scores: ref('s'), behaviorGap: { max: 0.2, mean: 0.1 } },
      ScoresManifest,
    )
  ).ref;
  const turnStates = await Promise.all(
    turns.map(
      async (turn) =>
        (
          await artifacts.commitManifest(
            keys.turnState('run-1', k, turn),
            {
              kind: 'turn-state',
              inputHash,
              iteration: k,
              turn,
              policy: policyState(`theta-${turn}`),
              suffixProducts: ref('m'),
              metrics: turnMetrics(turn, turn / 10),
            },
            TurnStateManifest,
          )
        ).ref,
    ),
  );
  const seconds: [ArtifactRef, number][] = [
    ...rollouts.map((step): [ArtifactRef, number] => [step, 10]),
    [groups, 1],
    [scores, 2],
    ...turnStates.map((step): [ArtifactRef, number] => [step, 4]),
  ];
  for (const [{ key }, took] of seconds)
    await artifacts.commitManifest(
      keys.timing(key),
      { seconds: took, tokens: 10 * took, storageSeconds: took / 10 },
      Timing,
    );
  return { artifacts, input: { run, iteration: 3, rollouts, groups, scores, turnStates } };
}

test('theta_{k+1} is the last turn state of the order, and the summary adds up', async () => {
  const { artifacts, input } = await iteration();
  const result = await createCommitCheckpoint({ artifacts })(input);
  assert.deepEqual(result.policy, policyState('theta-1'));
  assert.equal(result.seconds, 10 + 10 + 1 + 2 + 4 + 4);
  assert.equal(result.tokens, 310);
  assert.ok(Math.abs(result.klReference - 0.15) < 1e-12); // mean of 0.2 and 0.1
  const manifest = await artifacts.getJson(result.checkpoint, CheckpointManifest);
  assert.deepEqual(
    manifest.turns.map(({ turn }) => turn),
    [2, 1],
  );
  assert.ok(!canonicalJson(manifest).includes('seconds'), 'how long it took is no part of what is hashed');
});

test('committing twice gives the same checkpoint', async () => {
  const { artifacts, input } = await iteration();
  const commit = createCommitCheckpoint({ artifacts });
  assert.deepEqual(await commit(input), await commit(input));
});

test('turn states of another iteration, or not one of each turn, are refused', async () => {
  for (const parts of [await iteration(4), await iteration(3, [1])]) {
    await assert.rejects(createCommitCheckpoint(parts)(parts.input), {
      name: 'ShapeError',
      message: /expected each of turns 1..2 of iteration 3 once/,
    });
  }
});
