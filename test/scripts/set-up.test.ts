// Needs of set-up: tensorflow-binding, model, bfcl, s3, temporal
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { goFolders } from '../../scripts/setup/go-programs.js';
import { componentNames, describeFailure, setUp, SetUpError } from '../../scripts/setup/index.js';
import { withLock } from '../../scripts/setup/lock.js';
import { inRuntime, logDir, repositoryRoot } from '../../scripts/setup/paths.js';
import { checkPrerequisites } from '../../scripts/setup/prerequisites.js';
import { identify, isRunning } from '../../scripts/setup/process-identity.js';
import { bar } from '../../scripts/setup/progress.js';
import { runCommand } from '../../scripts/setup/run-command.js';
import { moveIntoPlace } from '../../scripts/setup/stamp.js';
import { unzip } from '../../scripts/setup/unzip.js';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'seeupo-set-up-'));
});
after(() => rm(root, { recursive: true, force: true }));

test('set-up that has nothing to do takes less than a second', async () => {
  await setUp(); // `npm test` has set up already
  const start = performance.now();
  await setUp();
  assert.ok(performance.now() - start < 1_000);
});

test('an unknown component is refused with the names there are', async () => {
  await assert.rejects(
    setUp(['modle' as 'model']),
    (error: Error) => error instanceof SetUpError && error.message.includes(componentNames.join(', ')),
  );
});

test('missing prerequisites are named all at once, each with the command that installs it', async () => {
  const path = process.env.PATH;
  process.env.PATH = join(root, 'empty');
  try {
    await assert.rejects(checkPrerequisites(['python', 'compiler', 'go', 'python'], 2 ** 60), (error: Error) => {
      const [head, ...lines] = error.message.split('\n');
      assert.equal(head, 'set-up needs:');
      assert.equal(lines.length, 4);
      for (const expected of [
        /Python 3\.10 or newer \(found no /,
        /a C\+\+ compiler and make/,
        /Go 1\.24 or newer \(found no go\)/,
        /GiB of free disk .*SEEUPO_RUNTIME_DIR/,
      ]) {
        assert.match(error.message, expected);
      }
      return true;
    });
  } finally {
    process.env.PATH = path;
  }
});

test('a failed command is an error with its purpose, the end of its output, and the path of the whole log', async () => {
  const script =
    'for (let i = 1; i <= 40; i++) console.log(`line ${i}`); console.error("no space left"); process.exit(7)';
  await assert.rejects(
    runCommand(process.execPath, ['-e', script], { purpose: 'trying', log: 'test' }),
    (error: Error) => {
      assert.match(error.message, /^trying failed: node.*: exit code 7\n/);
      assert.match(error.message, /line 40\n/);
      assert.match(error.message, /no space left\n/);
      assert.doesNotMatch(error.message, /line 3\n/);
      const log = /full log: (.*)/.exec(error.message)?.[1];
      assert.ok(log !== undefined && existsSync(log));
      return true;
    },
  );
  await assert.rejects(
    runCommand('no-such-program', [], { purpose: 'trying', log: 'test' }),
    /trying failed: no-such-program/,
  );
});

test('what the system refuses is told with what to do', async () => {
  const refused = (code: string, message: string) =>
    describeFailure(Object.assign(new Error(message), { code, syscall: 'open' }));
  const denied = await mkdir('/proc/1/none').catch((error: unknown) => error);
  assert.match(describeFailure(denied), /^E\w+: .*mkdir '\/proc\/1\/none'/);
  assert.match(
    refused('EACCES', "EACCES: permission denied, mkdir '/srv/x'"),
    /'\/srv\/x': this user may not write there\. Set SEEUPO_RUNTIME_DIR/,
  );
  assert.match(refused('EROFS', 'EROFS: read-only file system'), /Set SEEUPO_RUNTIME_DIR/);
  assert.match(
    refused('ENOSPC', 'ENOSPC: no space left on device, write'),
    /free some space there, or set SEEUPO_RUNTIME_DIR/,
  );
  assert.equal(refused('ECONNREFUSED', 'connect ECONNREFUSED'), 'connect ECONNREFUSED');
});

test('a log of set-up that cannot be written is no reason to fail', async () => {
  await mkdir(logDir, { recursive: true });
  const log = join(logDir, 'set-up-full.log');
  await rm(log, { force: true });
  await symlink('/dev/full', log);
  try {
    assert.equal(
      await runCommand(process.execPath, ['-e', 'console.log("done")'], { purpose: 'trying', log: 'full' }),
      'done',
    );
  } finally {
    await rm(log, { force: true });
  }
});

test('Go builds without a home folder too, and keeps to the usual places where there is one', () => {
  assert.deepEqual(goFolders({ HOME: '/home/a' }), {});
  assert.deepEqual(goFolders({}), { GOPATH: inRuntime('go'), GOCACHE: inRuntime('go', 'build-cache') });
  assert.deepEqual(goFolders({ GOMODCACHE: '/m', GOCACHE: '/c' }), {});
});

test('unzip writes the chosen entries where it is told, with their sha256', async () => {
  const archive = join(root, 'archive.zip');
  const make =
    "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED)\nz.writestr('a/b.txt', 'wanted' * 1000)\nz.writestr('../c.txt', 'not wanted')\nz.close()";
  await promisify(execFile)('python3', ['-c', make, archive]).catch(() =>
    assert.fail('python3 is a prerequisite of set-up'),
  );
  const target = join(root, 'unzipped', 'b.txt');
  // An entry that points outside would be refused; here nothing but the wanted one is in the archive the second time.
  await assert.rejects(
    unzip(archive, (entry) => (entry === 'a/b.txt' ? target : undefined)),
    /invalid relative path/,
  );
  await promisify(execFile)('python3', ['-c', make.replace("'../c.txt'", "'c.txt'"), archive]);
  const written = await unzip(archive, (entry) => (entry === 'a/b.txt' ? target : undefined));
  assert.deepEqual(
    [...written],
    [[target, { bytes: 6_000, sha256: createHash('sha256').update('wanted'.repeat(1000)).digest('hex') }]],
  );
  assert.deepEqual(await readdir(join(root, 'unzipped')), ['b.txt']);
});

test('a finished folder takes the place of an older one, and nothing else is left beside it', async () => {
  const place = join(root, 'place', 'thing');
  await mkdir(place, { recursive: true });
  await writeFile(join(place, 'old'), '');
  const finished = join(root, 'finished');
  await mkdir(finished);
  await writeFile(join(finished, 'new'), '');
  await moveIntoPlace(finished, place);
  assert.deepEqual(await readdir(place), ['new']);
  assert.deepEqual(await readdir(join(root, 'place')), ['thing']);
});

test('a lock is held by one at a time, and taken over from a holder that died', async () => {
  const path = join(root, 'lock');
  let inside = 0;
  const order: number[] = [];
  await Promise.all(
    [1, 2, 3].map((who) =>
      withLock(path, async () => {
        inside += 1;
        assert.equal(inside, 1);
        await sleep(20);
        order.push(who);
        inside -= 1;
      }),
    ),
  );
  assert.deepEqual(order.toSorted(), [1, 2, 3]);
  // The id is alive (ours), the start time is not: a recycled process id.
  await writeFile(path, JSON.stringify({ pid: process.pid, started: 'long ago' }));
  assert.equal(await withLock(path, async () => 'taken over'), 'taken over');
  assert.equal(existsSync(path), false);
});

test('a process is known by its start as well as by its id', async () => {
  const me = await identify(process.pid);
  assert.ok(me);
  assert.equal(await isRunning(me), true);
  assert.equal(await isRunning({ ...me, started: 'another' }), false);
  assert.equal(await identify(4_194_304 + 1), undefined); // above the largest process id of Linux
});

test('every pinned wheel has a sha256, except the CUDA libraries, which are ranges on purpose', async () => {
  const folder = join(repositoryRoot, 'scripts', 'setup', 'requirements');
  for (const name of (await readdir(folder)).filter((file) => file !== 'cuda.txt')) {
    const text = (await readFile(join(folder, name), 'utf8')).replaceAll('\\\n', ' ').replaceAll(/^#.*$/gm, '');
    for (const line of text.split('\n').filter((requirement) => requirement.trim() !== '')) {
      assert.match(line, /^[\w.-]+==[\w.+]+ +--hash=sha256:[0-9a-f]{64}/, `${name}: ${line}`);
    }
  }
});

test('a bar is full at 100 % and empty at 0 %', () => {
  assert.equal(bar(0, 4), '░░░░   0 %');
  assert.equal(bar(0.5, 4), '██░░  50 %');
  assert.equal(bar(7, 4), '████ 100 %');
});
