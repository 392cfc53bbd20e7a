// npm run check-environment on modules of a hurried author's, as a process of its own: what fails in it must not end it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { repositoryRoot } from '../../scripts/setup/paths.js';

let folder: string;
before(async () => void (folder = await mkdtemp(path.join(tmpdir(), 'seeupo-check-'))));

/** A module whose one tool is `run`. */
async function checked(name: string, run: string, options: readonly string[] = [], stepTimeoutMs = 1000) {
  const file = path.join(folder, `${name}.ts`);
  await writeFile(
    file,
    `import { defineEnvironment, z } from 'seeupo/environment';
    export default defineEnvironment({ name: '${name}', task: z.object({ goal: z.number() }), tasks: [{ id: 'a', split: 'train', goal: 3 }], turns: 2,
      start: () => ({ total: 0 }), prompt: ({ goal }) => \`Reach \${goal}.\`, tools: { add: { description: 'adds', parameters: z.object({ n: z.number() }), run: ${run} } },
      next: () => 'Go on.', verify: () => 0, stepTimeoutMs: ${stepTimeoutMs} });`,
  );
  const args = ['dist/scripts/check-environment.js', file, '--episodes', '0', '--tasks', '1', ...options];
  return promisify(execFile)(process.execPath, args, { cwd: repositoryRoot, timeout: 60_000 }).then(
    ({ stdout, stderr }) => ({ code: 0 as unknown, stdout, stderr }),
    ({ code, stdout, stderr }: { code: unknown; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
  );
}

const forgets = "async () => { void (async () => { throw new Error('forgotten'); })(); return 1; }";

test('a promise that a tool forgets is the fault of its episode, told with task and turn; the check goes on to its end', async () => {
  const { code, stdout, stderr } = await checked('forgets', forgets);
  assert.equal(code, 1, stderr);
  assert.match(
    stdout,
    /FAILS {2}determinism.*\n.*task a, turn 1: a promise or a timer that nobody waits for \(is an `await` missing\?\) threw Error: forgotten/,
  );
  assert.match(stdout, /\d+ hold, \d+ fail/);
  assert.equal(stderr, '');
});

test('what fails when its episode is over is told too', async () => {
  const { code, stdout } = await checked(
    'late',
    "() => { setTimeout(() => { throw new Error('too late'); }, 60); return 1; }",
  );
  assert.equal(code, 1);
  assert.match(
    stdout,
    /FAILS {2}promises and timers.*\n.*task a: after its end, a promise or a timer that nobody waits for failed: too late/,
  );
});

test('a loop without an end is ended and told, before an await and after one', async () => {
  const sync = await checked('loops', '() => { for (;;); }', [], 100);
  assert.equal(sync.code, 1, sync.stderr);
  assert.match(
    sync.stdout,
    /FAILS {2}determinism.*\n.*task a, turn 1: CALL add\(n=3\) did not give the thread back within 100 ms: is there a loop without an end\?/,
  );
  const later = await checked('loops-later', 'async () => { await null; for (;;); }', ['--max-step-ms', '400']);
  assert.notEqual(later.code, 0, later.stdout);
  assert.match(
    later.stderr,
    /loops-later\.ts has not given the thread back for \d+ s: is there a loop without an end\? the last function called is .*task a, turn 1: tool add/,
  );
});
