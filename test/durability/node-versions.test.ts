import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { differencesOf } from '../../scripts/chaos/evidence.js';
import { runtimeDir } from '../../scripts/setup/paths.js';
import type { PlayedRun } from '../support/play-tiny-run.js';

/*
 * The runtimes that users have: the oldest one that is promised, each long-term one after it, and whatever is newest on
 * the day. The npm registry has Node's own builds as packages; servers, workers and client of a run all run under one.
 */
const VERSIONS = ['20.19.0', '22', '24', 'latest'];
const folder = path.join(runtimeDir, 'test-node');
const program = fileURLToPath(new URL('../support/play-tiny-run.js', import.meta.url));
const run = promisify(execFile);
const binaryOf = (version: string): string => path.join(folder, 'node_modules', `node-${version}`, 'bin', 'node');

before(async () => {
  await mkdir(folder, { recursive: true });
  const builds = VERSIONS.map((version) => `node-${version}@npm:node-${process.platform}-${process.arch}@${version}`);
  // A package.json of its own, or npm would install into the checkout.
  const npm = [
    'install',
    '--prefix',
    folder,
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...builds,
  ];
  await run('npm', npm, { cwd: folder });
  for (const version of VERSIONS) assert.ok(existsSync(binaryOf(version)), binaryOf(version));
});

const played = new Map<string, PlayedRun>();
for (const version of VERSIONS) {
  test(`Node ${version} plays a whole run, to the bytes of the oldest`, async () => {
    const data = await mkdtemp(path.join(runtimeDir, 'test-node-run-'));
    try {
      const { stdout } = await run(binaryOf(version), [program, data], { maxBuffer: 64e6 });
      const result = JSON.parse(stdout.trim().split('\n').at(-1)!) as PlayedRun;
      played.set(version, result);
      if (version !== 'latest') assert.ok(result.node.startsWith(`v${version}`), result.node);
      assert.deepEqual(result.broken, []);
      assert.ok(Object.keys(result.fingerprint).some((key) => key.endsWith('checkpoint.json')));
      assert.deepEqual(differencesOf(result.fingerprint, played.get(VERSIONS[0]!)!.fingerprint), []);
    } finally {
      await rm(data, { recursive: true, force: true });
    }
  });
}
