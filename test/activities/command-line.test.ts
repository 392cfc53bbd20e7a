import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { commandLine } from '../../activities/command-line.js';

test('a printed command, pasted into a shell, has the words that it was made of', () => {
  const words = [
    '../run time ü/bin/x',
    "it's",
    '$HOME `id` "q" \\',
    '*',
    '',
    'a;b',
    '--plain=1',
    'nightly-2026-11-28T13:39:47Z',
    '~',
    '#x',
    'two\nlines',
  ];
  const printed = execFileSync('sh', ['-c', `printf '%s\\0' ${commandLine(...words)}`], { encoding: 'utf8' });
  assert.deepEqual(printed.split('\0').slice(0, -1), words);
  assert.equal(commandLine('temporal', '--address', '127.0.0.1:7233'), 'temporal --address 127.0.0.1:7233');
});
