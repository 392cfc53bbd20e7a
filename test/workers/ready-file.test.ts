import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'seeupo-ready-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** A process that keeps the file, told apart as hanging after 400 ms; a line on its input blocks its main thread for a second. */
function keeper(file: string) {
  const program = `
    const { keepReadyFile } = await import(${JSON.stringify(new URL('../../workers/ready-file.js', import.meta.url).href)});
    const end = keepReadyFile(${JSON.stringify(file)}, 'ready', 400);
    process.stdin.on('data', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500));
    process.stdin.on('end', async () => { await end(); process.exit(0); });`;
  return spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'inherit', 'inherit'] });
}
async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + 20_000; !(await holds()); await sleep(20)) assert.ok(Date.now() < deadline, what);
}

test('the file is there while the process works, away while it hangs, back afterwards, and gone at its end', async () => {
  const file = path.join(folder, 'worker');
  const child = keeper(file);
  await until(() => existsSync(file), 'it was never there');
  assert.equal(await readFile(file, 'utf8'), 'ready');
  const { mtimeMs } = await stat(file);
  await until(async () => (await stat(file)).mtimeMs > mtimeMs, 'its time is not renewed');
  child.stdin.write('hang\n');
  await until(() => !existsSync(file), 'it stayed while the main thread hung');
  await until(() => existsSync(file), 'it did not come back');
  child.stdin.end();
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 0);
  assert.equal(existsSync(file), false);
});
