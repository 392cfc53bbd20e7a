// Needs of set-up: appworld
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { repositoryRoot } from '../../scripts/setup/paths.js';

interface Report {
  readonly environment: string;
  readonly findings: readonly { readonly check: string; readonly holds: boolean | null; readonly detail: string }[];
}

const checkEnvironment = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['dist/scripts/check-environment.js', ...args], {
    cwd: repositoryRoot,
    maxBuffer: 16 * 1024 * 1024,
    env: { ...process.env, SEEUPO_APPWORLD_SECONDS: '2' },
  }).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
  );

test('check-environment appworld sets the engine up, plays the small world, kills the sidecar, and finds that all promises hold', async () => {
  // How long a step takes is this machine's matter; a hundred tests run beside this one.
  const { code, stdout, stderr } = await checkEnvironment(
    'appworld',
    '--tasks',
    '1',
    '--episodes',
    '10',
    '--max-step-ms',
    '230000',
    '--json',
  );
  assert.equal(code, 0, stdout + stderr);
  const { environment, findings } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Report;
  assert.equal(environment, 'appworld');
  assert.deepEqual(
    findings.filter(({ holds }) => holds !== true).map(({ check, detail }) => `${check}: ${detail}`),
    ['reference solutions score 1: not looked at: no solutions are known (`solve`)'],
  );
  assert.equal(findings.length, 9);
});

test('an unknown environment is refused with the names there are', async () => {
  const { code, stderr } = await checkEnvironment('appwrld');
  assert.equal(code, 2);
  assert.match(stderr, /"appwrld" is no environment: expected one of bfcl-windows, bfcl, appworld, or a module/);
});
