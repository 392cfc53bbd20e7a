import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { createMemoryStore } from '../../../activities/artifacts/memory-store.js';
import { keys } from '../../../activities/artifacts/store.js';
import { withoutHeartbeats } from '../../../activities/heartbeats.js';
import type { TextCodec } from '../../../activities/policy/policy.js';
import { createWriteReport } from '../../../activities/report/write-report.activity.js';
import { CheckpointManifest, WarmStartManifest } from '../../../schemas/checkpoint.js';
import { EvaluationManifest } from '../../../schemas/evaluation.js';
import { IterationTiming } from '../../../schemas/metrics.js';
import { ReportContent } from '../../../schemas/report.js';
import type { RunRef } from '../../../schemas/run.js';
import { storedRun } from '../../support/stored-run.js';
import { evaluation, iterationTiming, sources, trajectory } from './fixture.js';

const artifacts = createMemoryStore();
const codec = async () => ({ decode: (ids: readonly number[]) => `decoded ${ids.join(' ')}` }) as TextCodec;
const writeReport = createWriteReport({ artifacts, codec, modelsDir: '/models', heartbeats: withoutHeartbeats });
let run: RunRef;

/** A store that holds the made-up run, as the activities before would have left it. */
beforeEach(async () => {
  artifacts.objects.clear();
  const made = sources();
  run = await storedRun(artifacts, made.run, { warmStart: true });
  if (made.warmStart) await artifacts.commitManifest(keys.warmStart('made-up'), made.warmStart, WarmStartManifest);
  for (const { manifest, trajectories } of made.evaluations)
    await commitEvaluation({ ...manifest, trajectories: await artifacts.putJson(trajectories) });
  for (const checkpoint of made.checkpoints) {
    await artifacts.commitManifest(keys.checkpoint('made-up', checkpoint.iteration), checkpoint, CheckpointManifest);
    await artifacts.commitManifest(
      keys.iterationTiming('made-up', checkpoint.iteration),
      iterationTiming,
      IterationTiming,
    );
  }
});

const commitEvaluation = (manifest: EvaluationManifest) =>
  artifacts.commitManifest(
    keys.evaluation('made-up', manifest.iterationsDone, manifest.name, manifest.split),
    manifest,
    EvaluationManifest,
  );

test('the report is drawn from what the store holds, page and JSON twin', async () => {
  const { html, json } = await writeReport({ run, completedIterations: 2 });
  const content = await artifacts.getJson(json, ReportContent);
  assert.equal(content.seeupoGains[0]?.meanReward, 0.5);
  assert.equal(content.episodes[0]?.turns[0]?.prompt, 'decoded 1 2 3');
  assert.deepEqual(
    content.iterations.map(({ seconds }) => seconds),
    [21, 21],
  ); // 10 + 1 + 4 + 6, from beside the checkpoints
  assert.match(
    new TextDecoder().decode(await artifacts.getBlob(html)),
    /<title>A made-up run – SeeUPO report<\/title>/,
  );
});

test('a retry finds the report that was committed', async () => {
  const first = await writeReport({ run, completedIterations: 2 });
  const objects = artifacts.objects.size;
  assert.deepEqual(await writeReport({ run, completedIterations: 2 }), first);
  assert.equal(artifacts.objects.size, objects);
});

test('a report after fewer iterations does not stand in for a later one', async () => {
  const early = await writeReport({ run, completedIterations: 1 });
  const late = await writeReport({ run, completedIterations: 2 });
  assert.notEqual(early.html.sha256, late.html.sha256);
  assert.equal((await artifacts.getJson(early.json, ReportContent)).iterations.length, 1);
});

test('an evaluation committed after the report gets a report of its own', async () => {
  const before = await writeReport({ run, completedIterations: 2 });
  const { manifest, trajectories } = evaluation('iteration-0001', 'train', [trajectory('a', 0, [true, false])]);
  await commitEvaluation({ ...manifest, trajectories: await artifacts.putJson(trajectories) });
  const after = await writeReport({ run, completedIterations: 2 });
  assert.notEqual(after.json.sha256, before.json.sha256);
  assert.equal((await artifacts.getJson(after.json, ReportContent)).midway.length, 1);
});

test('of two ends, the report of K iterations shows the one after K', async () => {
  const { manifest, trajectories } = evaluation(
    'end',
    'train',
    ['a', 'b'].map((id) => trajectory(id, 0, [true, true])),
  );
  await commitEvaluation({ ...manifest, iterationsDone: 1, trajectories: await artifacts.putJson(trajectories) });
  const gain = async (completedIterations: number) =>
    (await artifacts.getJson((await writeReport({ run, completedIterations })).json, ReportContent)).seeupoGains[0]
      ?.meanReward;
  assert.deepEqual([await gain(1), await gain(2)], [0.75, 0.5]); // 1 - .25, .75 - .25
});

test('a missing checkpoint is named, and no retry is asked for', async () => {
  await assert.rejects(writeReport({ run, completedIterations: 3 }), {
    name: 'CheckpointCorrupt',
    message:
      /^runs\/made-up\/iterations\/0002\/checkpoint\.json is missing, though the run says that 3 iteration\(s\) are committed$/,
  });
});
