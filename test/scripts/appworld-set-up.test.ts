// Needs of set-up: appworld
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { defaultComponents, setUp } from '../../scripts/setup/index.js';
import { appworldCache, appworldPython, appworldSmallWorld, inSetUpSources } from '../../scripts/setup/paths.js';

/** sha256 of every file below a folder. */
async function hashes(root: string): Promise<Record<string, string>> {
  const files = (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(
      files.sort().map(
        async (file) =>
          [
            path.relative(root, file),
            createHash('sha256')
              .update(await readFile(file))
              .digest('hex'),
          ] as const,
      ),
    ),
  );
}

test('AppWorld is set up where it is asked for, and only there', async () => {
  assert.ok(!defaultComponents.includes('appworld'));
  await setUp(['appworld']);
  const start = performance.now();
  await setUp(['appworld']);
  assert.ok(performance.now() - start < 1_000);
});

test('the small world has the same bytes whenever it is built: four tasks in two scenarios', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'seeupo-small-world-'));
  try {
    await execa(appworldPython, [inSetUpSources('appworld', 'build_small_world.py')], {
      cwd: root,
      env: { APPWORLD_ROOT: root, APPWORLD_CACHE: appworldCache, PYTHONHASHSEED: '7', TZ: 'Asia/Tokyo' },
    });
    const built = await hashes(root);
    assert.deepEqual(built, await hashes(appworldSmallWorld));
    const tasks = Object.keys(built).flatMap((file) => /^data\/tasks\/(\w+)\/specs\.json$/.exec(file)?.[1] ?? []);
    assert.deepEqual(
      tasks.map((id) => id.split('_')),
      [
        ['5ee0001', '1'],
        ['5ee0001', '2'],
        ['5ee0002', '1'],
        ['5ee0002', '2'],
      ],
    );
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
