import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readlink, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { readEvidence } from '../../scripts/chaos/evidence.js';
import { withStack } from '../../scripts/chaos/stack.js';
import { runtimeDir } from '../../scripts/setup/paths.js';
import { tinyRun, tinyWorkerEnv } from '../../scripts/chaos/tiny-run.js';

/** Minutes the run lasts at least: one in CI, ten with SEEUPO_FULL_DISK_MINUTES=10, for which there are more iterations. */
const minutes = Number(process.env['SEEUPO_FULL_DISK_MINUTES'] ?? 0);
/** The servers' own output is theirs to lose: Temporal, for one, does not start where its banner cannot be printed. */
const WORKERS = ['cpu-worker', 'gpu-worker'];

test('with the logs of the workers on a full disk a run goes on to its end, and no process ends', async () => {
  const root = await mkdtemp(path.join(runtimeDir, 'test-full-disk-'));
  try {
    const logs = path.join(root, 'stack', 'logs');
    await mkdir(logs, { recursive: true });
    for (const name of WORKERS) await symlink('/dev/full', path.join(logs, `${name}.log`));
    const workerEnv = { ...(await tinyWorkerEnv(path.join(root, 'models'))), SEEUPO_LOG_LEVEL: 'debug' };
    const options = { dataDir: path.join(root, 'stack'), gpuWorkers: 1, sidecar: false, workerEnv };
    await withStack(options, async ({ client, artifacts, services }) => {
      const restarts: string[] = [];
      services.on('restart', (name, reason) => restarts.push(`${name} ${reason}`));
      const began = Date.now();
      for (let run = 0; run === 0 || Date.now() - began < minutes * 60_000; run++) {
        const workflowId = `tiny-${run}`;
        await client.workflow.execute('train', { taskQueue: 'seeupo-control', workflowId, args: [tinyRun] });
        const { adapters, broken } = await readEvidence(artifacts, workflowId);
        assert.deepEqual(broken, []);
        assert.ok(adapters.length > 0);
      }
      assert.deepEqual(restarts, []);
    });
    // The logs are still where nothing can be written: the proof was of that.
    for (const name of WORKERS) assert.equal(await readlink(path.join(logs, `${name}.log`)), '/dev/full');
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
