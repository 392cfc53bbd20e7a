import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { checkEnvironment } from '../../../activities/environments/conformance/check-environment.js';
import { sidecarEnvironment, sidecarEnvironments } from '../../../activities/environments/registry.js';
import { sidecarComponent } from '../../../scripts/services/sidecar-command.js';
import { startSidecarProcess, type SidecarProcess } from '../../../scripts/services/sidecar-process.js';
import { PYTHON, SIDECAR } from './sidecar-process.js';

const QUICK = { leakEpisodes: 500, maxLeakMs: 300_000, tasks: 4, maxStepMs: 5_000 };

// AppWorld, whose steps take a hundred times as long, is in test/scripts/check-environment.test.ts.
for (const name of sidecarEnvironments().filter((one) => sidecarComponent(one) === 'bfcl')) {
  describe(name, () => {
    let sidecar: SidecarProcess;
    before(async () => {
      sidecar = await startSidecarProcess(name);
    });
    after(() => sidecar.kill());
    const open = () => sidecarEnvironment(name, sidecar.url);

    test('keeps every promise of the interface, also when its process is killed', async () => {
      const crash = async () => {
        await sidecar.kill();
        sidecar = await startSidecarProcess(name);
      };
      const findings = await checkEnvironment({ open, crash, memory: () => sidecar.memory() }, QUICK);
      // A sidecar does not tell solutions; what it says of them is in bfcl_full_check.py and self_check.py.
      assert.deepEqual(
        findings.filter(({ holds }) => holds !== true).map(({ check, detail }) => `${check}: ${detail}`),
        ['reference solutions score 1: not looked at: no solutions are known (`solve`)'],
      );
    });

    test('keeps them as a remote server, of which only episodes can be closed', async () => {
      const crash = async (episodeIds: readonly string[]) =>
        void (await Promise.all(episodeIds.map((episodeId) => open().close(episodeId))));
      const findings = await checkEnvironment({ open, crash, memory: null }, QUICK);
      assert.deepEqual(
        findings.filter(({ holds }) => holds === false),
        [],
      );
    });
  });
}

test('a step that takes too long is ended, is no observation, and costs the episode only', async () => {
  const { stdout } = await promisify(execFile)(PYTHON, [`${SIDECAR}/time_limit_check.py`], {
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  });
  const { spun, seconds, afterwards, next } = JSON.parse(stdout) as {
    spun: [number, { code: string }];
    seconds: number;
    afterwards: string;
    next: number;
  };
  assert.deepEqual([spun[0], spun[1].code, afterwards, next], [500, 'internal', 'episode_lost', 200]);
  assert.ok(seconds < 5, `${seconds} s of processor time for a limit of 0.2 s`);
});
