import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { EnvService } from '../../../activities/environments/env-service.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import { PYTHON, SIDECAR, startSidecar, type Sidecar } from './sidecar-process.js';

/** The sidecar runs what a model asks for: what it may use is bounded by the kernel, not by trust in its code. */
let sidecar: Sidecar;
before(async () => {
  sidecar = await startSidecar();
});
after(() => sidecar?.kill());

const python = (code: string) =>
  promisify(execFile)(PYTHON, ['-c', `import sys; sys.path.insert(0, '${SIDECAR}')\n${code}`], {
    timeout: 20_000,
  }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
  );
const limitsOf = async (pid: number) =>
  Object.fromEntries(
    (await readFile(`/proc/${pid}/limits`, 'utf8'))
      .split('\n')
      .map((line) => [line.slice(0, 26).trim(), line.slice(26).trim().split(/\s+/)]),
  );

test('memory, open files, file size and core dumps have hard limits', async () => {
  const limits = await limitsOf(sidecar.pid);
  for (const [name, limit] of Object.entries({
    'Max address space': 4 * 2 ** 30,
    'Max file size': 64 * 2 ** 20,
    'Max core file size': 0,
  })) {
    assert.deepEqual(limits[name]!.slice(0, 2), [String(limit), String(limit)], name);
  }
  assert.ok(Number(limits['Max open files']![1]) <= 1024);
});

test("root's rights are given away, groups included", async () => {
  const status = await readFile(`/proc/${sidecar.pid}/status`, 'utf8');
  const uids = /^Uid:\s+(.+)$/m.exec(status)![1]!.split(/\s+/);
  const expected = process.getuid!() === 0 ? '65534' : String(process.getuid!());
  assert.deepEqual(
    uids,
    Array.from({ length: 4 }, () => expected),
  );
  if (expected === '65534') assert.equal(/^Groups:[ \t]*(.*)$/m.exec(status)![1]!.trim(), '');
});

test('so confined it plays tasks of every simulator', async () => {
  const environment = new EnvService({ name: 'bfcl-windows', url: sidecar.url, taskSet: 'three-turns' });
  for (const { id } of [...(await environment.listTasks('train')), ...(await environment.listTasks('heldout'))]) {
    const episodeId = `confined-${id.replaceAll(':', '-')}`;
    await environment.reset({ episodeId, taskId: id, seed: 0 });
    await environment.step({
      episodeId,
      stepIndex: 1,
      action: { content: 'CALL ls()', calls: parseCalls('CALL ls()', 'call-lines') },
    });
    assert.ok((await environment.evaluate(episodeId)).score < 1);
  }
});

test("what wants more memory than that gets an error, not the machine's", async () => {
  const { stdout } = await python(
    'from confinement import confine; confine()\ntry:\n  bytearray(5 << 30)\nexcept MemoryError:\n  print("refused")',
  );
  assert.equal(stdout.trim(), 'refused');
});
