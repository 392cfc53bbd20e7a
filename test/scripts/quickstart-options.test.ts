import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../../scripts/cli.js';
import { DEFAULT_CONFIG, parseOptions } from '../../scripts/quickstart/options.js';

const refused = (args: string[], message: RegExp): void => {
  assert.throws(
    () => parseOptions(args),
    (error: Error) => error instanceof UsageError && message.test(error.message),
  );
};

test('without options the current run is picked up from the quickstart settings', () => {
  assert.deepEqual(parseOptions([]), {
    fresh: false,
    takeOver: false,
    keep: false,
    config: DEFAULT_CONFIG,
    environment: null,
    runId: null,
    seed: null,
    iterations: null,
    help: false,
  });
});

test('every option is read', () => {
  assert.deepEqual(
    parseOptions([
      '--fresh',
      '--take-over',
      '--keep',
      '--config',
      'a.json',
      '--environment',
      './mine.ts',
      '--run-id',
      'mine',
      '--seed',
      '7',
      '--iterations=0',
      '-h',
    ]),
    {
      fresh: true,
      takeOver: true,
      keep: true,
      config: 'a.json',
      environment: './mine.ts',
      runId: 'mine',
      seed: 7,
      iterations: 0,
      help: true,
    },
  );
});

test('an unknown option is refused with the known ones', () => {
  refused(
    ['--frehs'],
    /^Unknown option '--frehs'\. Known: --fresh, --take-over, --keep, --config, --environment, --run-id, --seed, --iterations, --help$/,
  );
});

test('a word that is no option is refused', () => refused(['now'], /Unexpected argument 'now'/));
test('an option without its value is refused', () => refused(['--config'], /--config <value>' argument missing/));

test('a seed or number of iterations that is no whole number is refused', () => {
  for (const text of ['three', '1.5', '', '1e3'])
    refused([`--seed=${text}`], /--seed is ".*": expected a whole number/);
  refused(['--iterations=-1'], /--iterations is "-1": expected a whole number, 0 or more/);
});

test('a run id that cannot be part of a key is refused', () =>
  refused(['--run-id', '../up'], /--run-id is "\.\.\/up": it must be 1 to 128 of letters/));
