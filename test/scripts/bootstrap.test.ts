import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { repositoryRoot } from '../../scripts/setup/paths.js';

// A checkout in miniature: our bootstrap, our compiler, three commands of two lines.
let checkout: string;
before(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'seeupo-bootstrap-'));
  await mkdir(join(checkout, 'scripts'));
  await mkdir(join(checkout, 'test'));
  for (const file of ['package.json', 'tsconfig.json', 'scripts/bootstrap.mjs', 'scripts/test-files.mjs']) {
    await cp(join(repositoryRoot, file), join(checkout, file));
  }
  // A lockfile of nothing, installed: `npm ci` has no reason to run. node_modules itself must be a folder of its own,
  // because `npm ci` would empty the real one through a link.
  const modules = join(checkout, 'node_modules');
  await mkdir(join(modules, '.bin'), { recursive: true });
  await writeFile(join(checkout, 'package-lock.json'), '{"lockfileVersion":3,"packages":{"":{}}}');
  await writeFile(join(modules, '.package-lock.json'), '{"lockfileVersion":3,"packages":{}}');
  await symlink(join(repositoryRoot, 'node_modules', '.bin', 'tsc'), join(modules, '.bin', 'tsc'));
  await symlink(join(repositoryRoot, 'node_modules', '@types'), join(modules, '@types'));
  await writeFile(
    join(checkout, 'scripts', 'echo.ts'),
    'console.log(JSON.stringify(process.argv.slice(2)));\nprocess.exitCode = 7;\n',
  );
  await writeFile(
    join(checkout, 'scripts', 'wait.ts'),
    "process.on('SIGTERM', () => process.exit(9));\nsetInterval(() => undefined, 1000);\nconsole.log('waiting');\n",
  );
  await writeFile(join(checkout, 'scripts', 'setup.ts'), '');
  await writeFile(join(checkout, 'scripts', 'services.ts'), 'export {};\n');
  const passing = (name: string) => `import { test } from 'node:test';\ntest('${name} ran', () => undefined);\n`;
  await writeFile(join(checkout, 'test', 'one.test.ts'), passing('one'));
  await writeFile(join(checkout, 'test', 'two.test.ts'), passing('two'));
  await mkdir(join(checkout, 'test', 'durability'));
  await writeFile(join(checkout, 'test', 'durability', 'slow.test.ts'), passing('slow'));
});
after(() => rm(checkout, { recursive: true, force: true }));

// Without NODE_TEST_CONTEXT a nested test runner prints its own report.
const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
const bootstrap = (...args: string[]) =>
  spawnSync(process.execPath, [join(checkout, 'scripts', 'bootstrap.mjs'), ...args], {
    encoding: 'utf8',
    env: environment,
  });

test('a command gets its arguments, and its exit code is ours; nothing else is printed', () => {
  const { stdout, stderr, status } = bootstrap('echo', '--fresh', 'a b');
  assert.deepEqual({ stdout, stderr, status }, { stdout: '["--fresh","a b"]\n', stderr: '', status: 7 });
});

test('an unknown command, or a module that is none, is refused with the commands there are', () => {
  for (const name of ['quikstart', 'services', '../scripts/echo']) {
    const { stderr, status } = bootstrap(name);
    assert.equal(status, 2);
    assert.match(stderr, /unknown command ".*": expected one of echo, setup, test, wait/);
  }
  assert.match(bootstrap().stderr, /no command given/);
});

test('signals are passed on', async () => {
  const child = spawn(process.execPath, [join(checkout, 'scripts', 'bootstrap.mjs'), 'wait'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: environment,
  });
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 9);
});

test('`test` runs the chosen files and ends with the summary of the test runner; `no match` is an error', () => {
  const all = bootstrap('test');
  assert.match(all.stdout, /one ran[\s\S]*two ran[\s\S]*tests 2[\s\S]*pass 2/);
  const one = bootstrap('test', 'test/one.test.ts');
  assert.match(one.stdout, /one ran[\s\S]*tests 1\b/);
  assert.doesNotMatch(one.stdout, /two ran/);
  const none = bootstrap('test', 'three');
  assert.equal(none.status, 1);
  assert.match(none.stderr, /no test file matches three/);
});

test('proofs that take long run only when they are asked for', () => {
  assert.doesNotMatch(bootstrap('test').stdout, /slow ran/);
  assert.match(bootstrap('test', 'durability').stdout, /slow ran[\s\S]*tests 1\b/);
});

test('a test whose source was deleted does not run any more', async () => {
  assert.equal(existsSync(join(checkout, 'dist', 'test', 'two.test.js')), true);
  await rm(join(checkout, 'test', 'two.test.ts'));
  assert.match(bootstrap('test').stdout, /tests 1\b/);
  assert.equal(existsSync(join(checkout, 'dist', 'test', 'two.test.js')), false);
});

test('a type error is shown with its place, and the command does not run', async () => {
  const broken = join(checkout, 'scripts', 'broken.ts');
  await writeFile(broken, 'export const answer: number = "42";\n');
  const { stdout, stderr, status } = bootstrap('echo');
  await rm(broken);
  assert.equal(status, 1);
  assert.match(stdout, /scripts\/broken\.ts\(1,14\): error TS2322/);
  assert.doesNotMatch(stdout, /\[\]/);
  assert.match(stderr, /the TypeScript compiler failed/);
});

/** A lockfile that asks for a package which is not installed, as after `git pull`. */
const otherLock =
  '{"lockfileVersion":3,"packages":{"":{},"node_modules/a":{"version":"1.0.0","integrity":"sha512-x"}}}';
const emptyLock = '{"lockfileVersion":3,"packages":{"":{}}}';

test('packages are not exchanged beneath what runs from them; what runs is named, and stopping it still works', async () => {
  await writeFile(join(checkout, 'scripts', 'up.ts'), "console.log('up', ...process.argv.slice(2));\n");
  assert.equal(bootstrap('up').stdout, 'up\n');
  const running = spawn(process.execPath, [join(checkout, 'dist', 'scripts', 'wait.js')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(running.stdout, 'data');
  await writeFile(join(checkout, 'package-lock.json'), otherLock);
  try {
    const { status, stderr } = bootstrap('echo');
    assert.equal(status, 1);
    const expected = new RegExp(
      `npm ci would empty node_modules beneath what is running from it: wait \\(process ${running.pid}\\)`,
    );
    assert.match(stderr, expected);
    assert.equal(existsSync(join(checkout, 'node_modules', '.bin', 'tsc')), true);
    assert.equal(bootstrap('up', '--down').stdout, 'up --down\n');
  } finally {
    await writeFile(join(checkout, 'package-lock.json'), emptyLock);
    running.kill('SIGKILL');
    await rm(join(checkout, 'scripts', 'up.ts'));
  }
});

test('another version of Node asks for no other packages', () => {
  const code = `Object.defineProperty(process, 'version', { value: 'v99.0.0' })`;
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(code)}`,
      join(checkout, 'scripts', 'bootstrap.mjs'),
      'echo',
    ],
    { encoding: 'utf8', env: environment },
  );
  assert.deepEqual({ status, stderr }, { status: 7, stderr: '' });
});

test('in a checkout that cannot be written, what is there is run; what is missing is one line with the remedy', async () => {
  bootstrap('echo');
  /** Root may write everywhere unless it gives that capability up. */
  const asOther = (...args: string[]) => {
    const command = [process.execPath, join(checkout, 'scripts', 'bootstrap.mjs'), ...args];
    const given = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override', '--', ...command] : command;
    return spawnSync(given[0]!, given.slice(1), { encoding: 'utf8', env: environment });
  };
  const folders = [checkout, join(checkout, 'node_modules'), join(checkout, 'dist')];
  try {
    for (const folder of folders) await chmod(folder, 0o555);
    const { status, stdout, stderr } = asOther('echo', 'a');
    assert.deepEqual({ status, stdout, stderr }, { status: 7, stdout: '["a"]\n', stderr: '' });
    await writeFile(join(checkout, 'package-lock.json'), otherLock);
    const refused = asOther('echo');
    assert.equal(refused.status, 1);
    assert.match(
      refused.stderr,
      /^\S+ cannot be written by user \S+, and the npm packages of its lockfile are not installed: run `npm run setup` once as the owner/,
    );
    assert.equal(refused.stderr.trim().split('\n').length, 1);
  } finally {
    for (const folder of folders) await chmod(folder, 0o755);
    await writeFile(join(checkout, 'package-lock.json'), emptyLock);
  }
});
