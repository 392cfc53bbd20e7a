#!/usr/bin/env node
// The entry of every `npm run` command: makes a fresh clone runnable (packages, compiled code), then runs
// dist/scripts/<command>.js. Plain JavaScript without a dependency, because it runs before there are any.
// Prints nothing when there is nothing to do.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir, userInfo } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { needsOf, PURE, testsFor } from './test-files.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const [command, ...args] = process.argv.slice(2);

/** Modules of scripts/ that others import; they are no commands. */
const NOT_COMMANDS = new Set(['services', 'cli']);

function fail(message, code = 1) {
  console.error(message);
  process.exit(code);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(
    `Node ${process.versions.node} is too old: Node 20.19 or newer is needed. ` +
      'Install one (https://nodejs.org, or `nvm install 24`) and run the command again.',
  );
}

/** Two commands at once in one checkout must not run `npm ci` or the compiler into each other. */
async function withLock(path, work) {
  mkdirSync(dirname(path), { recursive: true });
  for (let announced = false; ; ) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const holder = readOr(path, '');
    if (holder !== '' && !isNode(Number(holder))) {
      rmSync(path, { force: true }); // its holder was killed
      continue;
    }
    if (!announced && holder !== '') {
      announced = true;
      console.error(`another command is installing or compiling here (process ${holder}), waiting for it`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const release = () => {
    try {
      if (readOr(path, '') === String(process.pid)) unlinkSync(path);
    } catch {
      // Gone already.
    }
  };
  process.once('exit', release); // also when `fail` leaves from inside
  await work();
  release();
}

function isNode(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
  }
  // Process ids are used again: on Linux, look who it is.
  return !existsSync('/proc/self/cmdline') || readOr(`/proc/${pid}/cmdline`, '').includes('bootstrap');
}

function readOr(path, otherwise) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}

/** No compiled part of the packages depends on the version of Node, so another Node needs no other packages. */
function installPackages() {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const wanted = createHash('sha256').update(lock).digest('hex');
  const stamp = join(root, 'node_modules', '.seeupo-installed');
  if (readOr(stamp, undefined) === wanted) return;
  // No stamp of this lockfile, but its very packages: someone ran npm by hand, and what they made is good.
  if (!npmInstalled(JSON.parse(lock))) {
    const modules = join(root, 'node_modules');
    if (existsSync(modules) && lstatSync(modules).isSymbolicLink()) {
      fail(
        'node_modules is a link, and npm ci would empty the folder it leads to: remove the link, then run the command again.',
      );
    }
    const running = runningFromHere();
    if (running.length > 0) {
      fail(
        'package-lock.json asks for other packages than are installed, and npm ci would empty node_modules beneath ' +
          `what is running from it: ${running.join(', ')}. Stop it first (Ctrl-C where it was started, or ` +
          '`npm run up -- --down`), then run the command again.',
      );
    }
    console.error('installing the npm packages'); // stdout is the command's own: `score` writes data there
    // Install scripts stay off: the one that matters here downloads an old TensorFlow; set-up provides a current one.
    const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];
    const result = spawnSync(
      npm[0],
      [...npm.slice(1), 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
      {
        cwd: root,
        stdio: ['ignore', 2, 2],
      },
    );
    if (result.status !== 0) {
      fail(
        `npm ci failed (${result.error?.message ?? `exit code ${result.status}`}): see its message above; ` +
          'check that the npm registry answers, then run the command again.',
      );
    }
  }
  writeFileSync(stamp, wanted);
}

/** Node processes that run this checkout's compiled code, as "cpu-worker (process 123)"; none where there is no /proc. */
function runningFromHere() {
  const compiled = `${dist}${sep}`;
  return (existsSync('/proc/self/cmdline') ? readdirSync('/proc') : [])
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .flatMap((pid) => {
      const program = readOr(`/proc/${pid}/cmdline`, '')
        .split('\0')
        .find((argument) => argument.startsWith(compiled));
      return program === undefined
        ? []
        : [`${relative(dist, program).replace(/\.js$/, '').split(sep).at(-1)} (process ${pid})`];
    });
}

/** The first of the places that a command writes which this user may not write; undefined if there is none. */
function unwritable() {
  return [root, ...['node_modules', 'dist', '.runtime'].map((name) => join(root, name)).filter(existsSync)].find(
    (path) => {
      try {
        accessSync(path, constants.W_OK);
        return false;
      } catch {
        return true;
      }
    },
  );
}

/** In another user's checkout, or a read-only image, what was installed and compiled there is run as it is. */
function useWhatIsThere(path) {
  const installed = npmInstalled(JSON.parse(readFileSync(join(root, 'package-lock.json'))));
  if (installed && existsSync(join(dist, 'scripts', 'setup.js'))) return;
  fail(
    `${path} cannot be written by user ${userInfo().username}, and ${installed ? 'its code is not compiled' : 'the npm packages of its lockfile are not installed'}: ` +
      'run `npm run setup` once as the owner of the checkout, or clone it into a folder of your own.',
  );
}

/** npm writes this record last, so an interrupted install does not have it. */
function npmInstalled(lock) {
  const record = readOr(join(root, 'node_modules', '.package-lock.json'), undefined);
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages;
  return Object.entries(lock.packages).every(
    ([path, wanted]) =>
      path === '' || wanted.optional || wanted.peer || installed[path]?.integrity === wanted.integrity,
  );
}

function compile() {
  dropOrphans(dist);
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const result = spawnSync(tsc, ['-p', root, '--pretty', String(Boolean(process.stdout.isTTY))], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (result.status !== 0) {
    fail(
      `the TypeScript compiler failed (${result.error?.message ?? `exit code ${result.status}`}): see its messages above.`,
    );
  }
}

/** The compiler leaves the output of deleted sources behind; a test that no longer exists must not run. */
function dropOrphans(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) dropOrphans(path);
    else if (entry.name.endsWith('.js')) {
      const source = join(root, relative(dist, path).replace(/\.js$/, '.ts'));
      if (!existsSync(source)) for (const output of [path, `${path}.map`]) rmSync(output, { force: true });
    }
  }
}

/** Runs a program in our place: same terminal, signals passed on, same exit code. */
function run(file, argv, env = process.env) {
  return new Promise((resolve) => {
    const child = spawn(file, argv, { cwd: root, stdio: 'inherit', env });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.on('error', (error) => fail(`${file} could not be started: ${error.message}`));
    child.on('exit', (code, signal) => resolve(code ?? 128 + (signalNumbers[signal] ?? 0)));
  });
}
const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

async function runTests() {
  const flags = args.filter((arg) => arg.startsWith('--'));
  const filters = args.filter((arg) => !arg.startsWith('--'));
  const files = testsFor(dist, filters);
  if (files.length === 0) fail(`no test file matches ${filters.join(' ') || 'test/**/*.test.ts'}`);
  const needs = needsOf(dist, files);
  if (needs.length > 0) {
    const setUp = await run(process.execPath, [
      join(dist, 'scripts', 'setup.js'),
      '--quiet',
      '--only',
      needs.join(','),
    ]);
    if (setUp !== 0) return setUp;
  }
  // What tests leave behind, and what those leave that they kill, goes with this folder.
  const temporary = mkdtempSync(join(tmpdir(), 'seeupo-test-'));
  try {
    // One file at a time where tests start servers and train, as two cores are few; else as many as there are cores.
    const atOnce = filters.length > 0 && filters.every((filter) => filter === PURE) ? availableParallelism() : 1;
    return await run(
      process.execPath,
      ['--enable-source-maps', '--test', `--test-concurrency=${atOnce}`, '--test-reporter=spec', ...flags, ...files],
      { ...process.env, TMPDIR: temporary },
    );
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

checkNode();
const sources = existsSync(join(root, 'scripts')) ? readdirSync(join(root, 'scripts')) : [];
const commands = [
  ...sources
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -3))
    .filter((name) => !NOT_COMMANDS.has(name)),
  'test',
].sort();
if (!commands.includes(command)) {
  fail(
    `${command === undefined ? 'no command given' : `unknown command "${command}"`}: expected one of ${commands.join(', ')}, as in \`npm run ${commands.includes('quickstart') ? 'quickstart' : commands[0]}\``,
    2,
  );
}
const path = unwritable();
// What stops the services must work beside whatever is running, so it is not compiled or installed anew.
const stops = command === 'up' && args.includes('--down') && existsSync(join(dist, 'scripts', 'up.js'));
if (path !== undefined) useWhatIsThere(path);
else if (!stops) {
  await withLock(join(root, '.runtime', 'bootstrap.lock'), () => {
    installPackages();
    compile();
  });
}
const program = ['--enable-source-maps', join(dist, 'scripts', `${command}.js`), ...args];
process.exitCode = command === 'test' ? await runTests() : await run(process.execPath, program);
