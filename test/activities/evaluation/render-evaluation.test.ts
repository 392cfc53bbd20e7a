import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluationContent } from '../../../activities/evaluation/evaluation-content.js';
import { renderEvaluation } from '../../../activities/evaluation/render-evaluation.js';
import { readableEpisode } from '../../../activities/report/episode.js';
import type { EvaluationPlan, EvaluationShardManifest } from '../../../schemas/evaluation-plan.js';
import { PlayConfig } from '../../../schemas/play-config.js';
import type { Task } from '../../../schemas/task.js';
import { HASH, ref, trajectory } from '../report/fixture.js';

const HOSTILE = '<script>alert(1)</script>"\'&';

/** Two policies on two tasks, every text in it hostile. */
function hostileContent(precisions: readonly ('fp32' | 'bf16')[] = ['fp32', 'fp32']) {
  const tasks: Task[] = [
    { id: HOSTILE, split: 'heldout', turns: 2, category: HOSTILE },
    { id: 'b', split: 'heldout', turns: 1 },
  ];
  const policies = ['end', 'untouched'].map((iteration) => ({
    source: { run: 'run-1', iteration: iteration as 'end' },
    label: `${HOSTILE} ${iteration}`,
    model: { path: HOSTILE, sha256: HASH, bytes: 1 },
    lora: { rank: 8, alpha: 16 },
    state: { folded: [], adapter: null, moments: null, optimizerSteps: 0 },
  }));
  const plan: EvaluationPlan = {
    kind: 'evaluation-plan',
    evaluationId: 'evaluation-1',
    policies,
    tasks,
    code: { version: HOSTILE },
    config: {
      title: HOSTILE,
      policy: policies[0]!.source,
      against: policies[1]!.source,
      environment: { name: HOSTILE, taskSet: HOSTILE },
      split: 'heldout',
      maxTasks: null,
      samplesPerTask: 1,
      temperature: 0.9,
      ...PlayConfig.parse({ maxResponseTokens: 8, maxTurns: 2 }),
      tasksPerShard: 8,
      seed: 1,
      confidence: 0.95,
      resamples: 100,
    },
  };
  const shard = (policy: number, rewards: readonly number[]): EvaluationShardManifest => ({
    kind: 'evaluation-shard',
    inputHash: HASH,
    arithmetic: {
      precision: precisions[policy]!,
      replicas: 1,
      device: HOSTILE,
      threads: 2,
      library: HOSTILE,
      flags: [HOSTILE],
    },
    policy,
    shard: 0,
    trajectories: ref('t'),
    outcomes: tasks.map(({ id }, t) => ({
      taskId: id,
      sample: 0,
      reward: rewards[t]!,
      success: rewards[t] === 1,
      end: 'completed',
      turnsPassed: [true],
      responses: 2,
      sampledTokens: 10,
      truncated: 1,
    })),
  });
  const played = { ...trajectory('a', 0, [true, false]), taskId: HOSTILE };
  for (const turn of played.turns) {
    turn.action = {
      content: HOSTILE,
      calls: [{ name: HOSTILE, positional: [HOSTILE], keyword: { [HOSTILE]: HOSTILE } }],
    };
    turn.observation = [{ role: 'tool', content: HOSTILE }];
  }
  const episodes = [{ policy: 0, ...readableEpisode(played, 'heldout', () => HOSTILE, 'first') }];
  return evaluationContent({
    plan,
    shards: [[shard(0, [1, 0.5])], [shard(1, [0, 0.5])]],
    timings: [],
    episodes,
    episodesLeftOut: 3,
  });
}

test('whatever a model, a task or an input wrote is text on the page', () => {
  const page = renderEvaluation(hostileContent());
  assert.doesNotMatch(page, /<script/i);
  assert.match(page, /&lt;script&gt;/);
  assert.match(page, /default-src 'none'/);
});

test('the page tells the comparison, the slices and what it leaves out', () => {
  const content = hostileContent();
  assert.equal(content.comparison!.averageReward.value, 0.5); // (1 - 0 + 0.5 - 0.5) / 2
  assert.deepEqual(
    content.byTurns.map(({ name }) => name),
    ['1', '2'],
  );
  assert.deepEqual(
    content.byCategory.map(({ name }) => name),
    [HOSTILE, 'all'],
  );
  assert.match(
    content.verdict,
    /\+0\.500 \[−1\.000, \+1\.000\], the interval includes 0, so no difference is claimed\.$/,
  );
  const page = renderEvaluation(content);
  assert.match(page, /3 more episodes are in the artifacts/);
  assert.match(page, /<h2 id="comparison">/);
});

test('what the shards were computed in stands on the page, and more than one arithmetic in the verdict', () => {
  const one = hostileContent();
  assert.equal(one.arithmetics.length, 1);
  assert.doesNotMatch(one.verdict, /arithmetics/);
  const mixed = hostileContent(['fp32', 'bf16']);
  assert.match(
    mixed.verdict,
    /no difference is claimed\. Its shards were computed in 2 arithmetics, which differ by rounding: see below\.$/,
  );
  assert.match(renderEvaluation(mixed), /<dd>fp32, 1 replica, [^]*<dd>bf16, 1 replica, /);
});

test('the same content gives the same page', () =>
  assert.equal(renderEvaluation(hostileContent()), renderEvaluation(hostileContent())));
