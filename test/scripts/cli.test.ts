import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import {
  idOf,
  number,
  oneOf,
  plainWords,
  readOptions,
  required,
  share,
  UsageError,
  wholeNumber,
} from '../../scripts/cli.js';
import { repositoryRoot } from '../../scripts/setup/paths.js';

const refused = (work: () => unknown, message: string): void => {
  assert.throws(work, (error: Error) => error instanceof UsageError && error.message === message);
};

test('an option that is left out has its default', () => {
  assert.equal(wholeNumber('--n', undefined, 1, 5), 5);
  assert.equal(number('--t', undefined, 0, null), null);
  assert.equal(share('--p', undefined), undefined);
  assert.equal(oneOf('--side', undefined, ['a', 'b'], 'b'), 'b');
});

test('a whole number is digits, is safe and is not below the least', () => {
  assert.equal(wholeNumber('--n', '7', 1, 5), 7);
  assert.equal(wholeNumber('--n', '-1', -1, 5), -1);
  for (const text of ['', ' 3', '1.5', '1e3', '0x10', 'three', '0', '9007199254740993']) {
    refused(() => wholeNumber('--n', text, 1, 5), `--n is "${text}": expected a whole number from 1`);
  }
  refused(() => wholeNumber('--n', '-1', 0, 5), '--n is "-1": expected a whole number, 0 or more');
});

test('a number is finite and not below the least', () => {
  assert.equal(number('--t', '0.7', 0, 1), 0.7);
  for (const text of ['', 'hot', 'Infinity', '-0.1']) {
    refused(() => number('--t', text, 0, 1), `--t is "${text}": expected a number from 0`);
  }
});

test('a share is at most 1, and 0 only where that means something', () => {
  assert.equal(share('--min-p', '0'), 0);
  assert.equal(share('--top-p', '1', { aboveZero: true }), 1);
  refused(() => share('--min-p', '1.1'), '--min-p is "1.1": expected a share from 0 to 1');
  refused(() => share('--top-p', '0', { aboveZero: true }), '--top-p is "0": expected a share above 0, at most 1');
});

test('a choice that is none is answered with those there are', () => {
  refused(() => oneOf('--p', 'fp8', ['fp32', 'bf16'], 'fp32'), '--p is "fp8": expected fp32 or bf16');
  refused(() => oneOf('--g', 'e', ['a', 'b', 'c', 'd'], 'a'), '--g is "e": expected one of a, b, c, d');
});

test('ids and options that must be there', () => {
  assert.equal(idOf('--run', 'a-1'), 'a-1');
  assert.throws(() => idOf('--run', '../x'), /^UsageError: --run is "\.\.\/x": it must be 1 to 128/);
  assert.throws(
    () => required('--run', undefined),
    (error: Error) => error instanceof UsageError && error.showsUsage && error.message === '--run is missing',
  );
});

test('an option that is not known is refused with those that are', () => {
  refused(
    () => readOptions({ run: { type: 'string' } }, ['--rum', 'x']),
    "Unknown option '--rum'. Known: --run, --help",
  );
});

test('an error for people is its message, a bug of ours its stack with the causes', () => {
  assert.equal(plainWords(new UsageError('--run is missing')), '--run is missing');
  assert.match(
    plainWords(new TypeError('outer', { cause: new Error('inner') })),
    /TypeError: outer\n +at [^]*cause[^]*inner/,
  );
});

test('only scripts/cli.ts knows where npm was called, and what a wrong command line is', () => {
  const folder = path.join(repositoryRoot, 'scripts');
  const others = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) =>
      file.endsWith('.ts') && /\bINIT_CWD\b|class UsageError/.test(readFileSync(path.join(folder, file), 'utf8')),
  );
  assert.deepEqual(others, ['cli.ts']);
});

test('--help prints the usage, and a wrong option exits with 2', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [path.join(repositoryRoot, 'dist', 'scripts', 'setup.js'), ...args], {
      encoding: 'utf8',
    });
  const help = run('--help');
  assert.deepEqual([help.status, help.stdout.split('\n')[0]], [0, 'npm run setup -- [OPTIONS]']);
  const wrong = run('--onyl', 'model');
  assert.deepEqual(
    [wrong.status, wrong.stderr],
    [2, "Unknown option '--onyl'. Known: --with, --only, --quiet, --help\n"],
  );
});
