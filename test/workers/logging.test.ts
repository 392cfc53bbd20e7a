import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { createLog, lossyDestination } from '../../workers/logging.js';

/** A disk that is full for the lines of these numbers, from 1. */
function disk(full: readonly number[]) {
  const lines: string[] = [];
  let tried = 0;
  const write = (line: string): void => {
    tried += 1;
    if (full.includes(tried)) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    lines.push(line);
  };
  return {
    write,
    messages: () =>
      lines
        .map((line) => JSON.parse(line) as { msg: string; lost?: number })
        .map(({ msg, lost }) => ({ msg, ...(lost && { lost }) })),
  };
}

test('lines that cannot be written are lost, nothing is thrown, and the next line that can says how many', () => {
  const { write, messages } = disk([2, 3, 4]);
  const log = createLog('gpu', 'info', lossyDestination(write));
  for (const line of ['one', 'two', 'three', 'four', 'five']) log.info(line);
  // "two" is lost; the count before "three" and before "four" finds the disk full still.
  assert.deepEqual(messages(), [
    { msg: 'one' },
    { msg: 'log lines were lost: nothing could be written', lost: 3 },
    { msg: 'five' },
  ]);
});

test('a process whose two outputs lie on a full disk goes on, and ends with its own exit status', () => {
  const program = `
    const { createLog, outliveLostOutput } = await import(${JSON.stringify(new URL('../../workers/logging.js', import.meta.url).href)});
    outliveLostOutput();
    const log = createLog('gpu', 'info');
    for (let i = 0; i < 3; i++) { log.info({ i }, 'a line'); console.log('a line'); console.error('a line'); await new Promise((resolve) => setTimeout(resolve, 20)); }
    process.emitWarning('something that Node prints by itself');
    setTimeout(() => process.exit(7), 50);`;
  const full = openSync('/dev/full', 'w');
  const { status, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', full, full],
    timeout: 10_000,
  });
  closeSync(full);
  assert.deepEqual({ status, signal }, { status: 7, signal: null });
});

test('lines of a large burst reach a slow reader whole and in order', () => {
  const program = `
    const { createLog } = await import(${JSON.stringify(new URL('../../workers/logging.js', import.meta.url).href)});
    const log = createLog('gpu', 'info');
    for (let i = 0; i < 2000; i++) log.info({ i, filler: 'x'.repeat(200) }, 'a line');`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    maxBuffer: 64e6,
  });
  assert.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { i: number }).i),
    Array.from({ length: 2000 }, (_, i) => i),
  );
});
