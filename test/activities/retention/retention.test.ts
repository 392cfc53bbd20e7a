import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryStore } from '../../../activities/artifacts/memory-store.js';
import { keys } from '../../../activities/artifacts/store.js';
import { createWriteReport } from '../../../activities/report/write-report.activity.js';
import { createOpenRun } from '../../../activities/run/open-run.activity.js';
import { dropIterations } from '../../../activities/retention/drop-iterations.js';
import { keptIterations, type Candidate } from '../../../activities/retention/kept-iterations.js';
import { GRACE_HOURS, sweepBlobs } from '../../../activities/retention/sweep-blobs.js';
import { verifyRun } from '../../../activities/verification/verify-run.js';
import { ReportContent } from '../../../schemas/report.js';
import { Tag } from '../../../schemas/retention.js';
import { RetentionRule } from '../../../schemas/retention-rule.js';
import { openInput } from '../../support/run-on-paper.js';
import { pipelineConfig, toyRun } from '../../support/toy-pipeline.js';
import { trainInProcess } from '../../support/train-in-process.js';

const rule = (given: object) => RetentionRule.parse(given);
const rewards = [0.1, 0.9, 0.3, 0.9, 0.2, 0.5];
const candidates: Candidate[] = rewards.map((meanReward, iteration) => ({
  iteration,
  meanReward,
  successRate: 1 - meanReward,
}));
const kept = (given: object, tagged: number[] = []) => [...keptIterations(rule(given), candidates, tagged)].sort();

test('a rule keeps the last n, every k-th counted from 1, the n best by a metric, and what is tagged', () => {
  assert.deepEqual(kept({ last: 2 }), [4, 5]);
  assert.deepEqual(kept({ last: 1, every: 2 }), [1, 3, 5]); // iterations 2, 4, 6
  assert.deepEqual(kept({ last: 1, best: { metric: 'meanReward', count: 1 } }), [3, 5]); // of 0.9 and 0.9 the later
  assert.deepEqual(kept({ last: 1, best: { metric: 'successRate', count: 2 } }), [0, 4, 5]); // 0.9 and 0.8
  assert.deepEqual(kept({ last: 1 }, [2]), [2, 5]);
  assert.deepEqual(kept({ last: 99 }), [0, 1, 2, 3, 4, 5]);
});

const AGES = 2 * GRACE_HOURS * 3_600_000;
/** A run and a fork of it, whose blobs are all old. */
async function trained() {
  const artifacts = createMemoryStore();
  const { dependencies } = toyRun(artifacts);
  await trainInProcess(dependencies, 'run-1', { ...pipelineConfig, iterations: 4 });
  await trainInProcess(dependencies, 'fork-1', {
    forkFrom: { run: 'run-1', iteration: 1 },
    change: { optimizer: { learningRate: 0.1 } },
  });
  for (const key of artifacts.objects.keys()) artifacts.modified.set(key, Date.now() - AGES);
  const verify = (run: string) =>
    verifyRun(artifacts, run, {
      policy: dependencies.policy,
      modelsDir: dependencies.modelsDir,
      tolerance: () => 1e-9,
    });
  return { artifacts, dependencies, verify };
}

test('dropping and sweeping leave a run that verifies, a fork that shares its beginning whole, and the report its figures', async () => {
  const { artifacts, dependencies, verify } = await trained();
  const blobs = () => [...artifacts.objects.keys()].filter((key) => key.startsWith('blobs/')).length;
  const before = blobs();
  assert.deepEqual(await dropIterations(artifacts, 'run-1', rule({ last: 1, every: 2 })), {
    kept: [1, 3],
    dropped: [0, 2],
  });
  const swept = await sweepBlobs(artifacts);
  assert.ok(swept.blobs > 0 && blobs() === before - swept.blobs, JSON.stringify(swept));
  assert.equal((await verify('run-1')).iterations, 2);
  assert.equal((await verify('fork-1')).iterations, 4);
  const { run } = await createOpenRun(dependencies)(openInput('run-1', { resumeFrom: { run: 'run-1' } }));
  const report = await createWriteReport(dependencies)({ run, completedIterations: 4 });
  assert.deepEqual(
    (await artifacts.getJson(report.json, ReportContent)).iterations.map(({ iteration }) => iteration),
    [1, 2, 3, 4],
  );
});

test('a dry run says the same and deletes nothing', async () => {
  const { artifacts } = await trained();
  const before = [...artifacts.objects.keys()];
  assert.deepEqual((await dropIterations(artifacts, 'run-1', rule({ last: 1 }), { dryRun: true })).dropped, [0, 1, 2]);
  await sweepBlobs(artifacts, { dryRun: true });
  assert.deepEqual([...artifacts.objects.keys()], before);
});

test('a run goes on, and resumes, after its early iterations were dropped', async () => {
  const { artifacts, dependencies, verify } = await trained();
  await dropIterations(artifacts, 'run-1', rule({ last: 1 }));
  await sweepBlobs(artifacts);
  const { progress } = await createOpenRun(dependencies)(openInput('run-1', { resumeFrom: { run: 'run-1' } }));
  assert.deepEqual([progress.iteration, progress.points.map(({ iteration }) => iteration)], [4, [3]]);
  await artifacts.getBlob(progress.policy!.adapter!);
  await verify('run-1');
});

test('a tagged iteration stays', async () => {
  const { artifacts } = await trained();
  await artifacts.commitManifest(keys.tag('run-1', 'paper'), { kind: 'tag', iteration: 1 }, Tag);
  assert.deepEqual((await dropIterations(artifacts, 'run-1', rule({ last: 1 }))).kept, [1, 3]);
});

test('blobs that are not named yet stay while they are young, also one that was old and is written again', async () => {
  const artifacts = createMemoryStore();
  const inUse = await artifacts.putBlob(Buffer.from('of a step under way'));
  assert.deepEqual(await sweepBlobs(artifacts), { blobs: 0, bytes: 0, young: 1, bytesKept: 0, uploads: 0 });
  artifacts.modified.set(inUse.key, Date.now() - AGES);
  await artifacts.putBlob(Buffer.from('of a step under way'));
  assert.equal((await sweepBlobs(artifacts)).blobs, 0);
  artifacts.modified.set(inUse.key, Date.now() - AGES);
  assert.deepEqual(await sweepBlobs(artifacts), { blobs: 1, bytes: 19, young: 0, bytesKept: 0, uploads: 0 });
  assert.equal(artifacts.objects.size, 0);
});

test('an iteration that is half dropped is dropped when it is asked for again', async () => {
  const { artifacts } = await trained();
  const stored = [...artifacts.objects.keys()];
  for (const key of stored)
    if (key.startsWith('runs/run-1/iterations/0000/') && !key.endsWith('checkpoint.json'))
      artifacts.objects.delete(key);
  assert.deepEqual((await dropIterations(artifacts, 'run-1', rule({ last: 3 }))).dropped, [0]);
  assert.ok(![...artifacts.objects.keys()].some((key) => key.startsWith('runs/run-1/iterations/0000/')));
});
