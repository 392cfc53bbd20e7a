import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { named, planTrial } from '../../scripts/chaos/faults.js';
import { RECOVERY_BAR_SECONDS } from '../../scripts/chaos/series.js';
import { playTrial, playUndisturbed, type Measure, type TrialOptions } from '../../scripts/chaos/trial.js';
import { runtimeDir } from '../../scripts/setup/paths.js';
import { tinyRun, tinyWorkerEnv } from '../../scripts/chaos/tiny-run.js';

/*
 * A few trials of `npm run chaos` on a model so small that they fit into the tests: the real Temporal,
 * S3, TensorFlow and two GPU workers. The command itself does the same with SmolLM2 and the sidecar.
 */
const SEED = 9;
const TRIALS = 6;
let root: string;
let options: TrialOptions;
let undisturbed: Measure;
before(async () => {
  root = await mkdtemp(path.join(runtimeDir, 'test-chaos-'));
  options = {
    config: tinyRun,
    root,
    gpuWorkers: 2,
    sidecar: false,
    workerEnv: await tinyWorkerEnv(path.join(root, 'models')),
    limitSeconds: 400,
    log: () => undefined,
  };
});
after(() => rm(root, { recursive: true, force: true }));

test('undisturbed, each of nine turn updates of two steps leaves other weights', async () => {
  undisturbed = await playUndisturbed(options);
  const { adapters, optimizerSteps, broken, groups } = undisturbed.evidence;
  assert.equal(new Set(adapters).size, 9);
  assert.ok(
    groups.withoutVariance < groups.all,
    `${groups.withoutVariance} of ${groups.all} groups have equal rewards`,
  );
  assert.deepEqual(optimizerSteps, { applied: 18, planned: 18 });
  assert.deepEqual(broken, []);
});

for (let trial = 0; trial < TRIALS; trial++) {
  const blows = planTrial(SEED, trial, ['bfcl']);
  test(`the same bytes after: ${blows.map(({ fault }) => named(fault)).join(', ')}`, async () => {
    const { problems, recoverySeconds } = await playTrial(trial, blows, undisturbed, options);
    assert.deepEqual(problems, []);
    assert.ok(
      recoverySeconds.every((seconds) => seconds < RECOVERY_BAR_SECONDS),
      `went on after ${recoverySeconds.join(', ')} s`,
    );
  });
}
