import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { startStack, type Stack } from '../../scripts/chaos/stack.js';
import { runtimeDir } from '../../scripts/setup/paths.js';
import { tinyRun, tinyWorkerEnv } from '../../scripts/chaos/tiny-run.js';

/*
 * Closed by default: what a small real run opens to the network, and where its secrets turn up.
 */
const RUN = 'closed-1';
/** A credential of the user's own that every worker inherits. */
const TOKEN = 'hf_thisTokenMustNotBeWrittenAnywhere';
let root: string;
let stack: Stack;
before(async () => {
  root = await mkdtemp(path.join(runtimeDir, 'test-closed-'));
  const workerEnv = { ...(await tinyWorkerEnv(path.join(root, 'models'))), HF_TOKEN: TOKEN, SEEUPO_LOG_LEVEL: 'trace' };
  stack = await startStack({ dataDir: path.join(root, 'stack'), gpuWorkers: 1, sidecar: true, workerEnv });
  const run = await stack.client.workflow.start('train', {
    taskQueue: 'seeupo-control',
    workflowId: RUN,
    args: [{ ...tinyRun, iterations: 1 }],
  });
  await run.result();
});
after(async () => {
  await stack?.stop();
  await rm(root, { recursive: true, force: true });
});

/** Addresses on which a process listens, as the kernel writes them, e.g. `0100007F` for 127.0.0.1. */
async function listensOn(pid: number): Promise<string[]> {
  const descriptors = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  );
  const inodes = new Set(descriptors.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8')));
  const rows = tables.flatMap((table) =>
    table
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/)),
  );
  const LISTEN = '0A';
  return rows.filter((row) => row[3] === LISTEN && inodes.has(row[9]!)).map((row) => row[1]!.split(':')[0]!);
}

test('every server listens on loopback only, workers on nothing', async () => {
  const LOOPBACK = ['0100007F', '00000000000000000000000001000000'];
  for (const [service, pid] of Object.entries(stack.services.pids())) {
    const addresses = await listensOn(pid!);
    assert.deepEqual(
      addresses.filter((address) => !LOOPBACK.includes(address)),
      [],
      service,
    );
    assert.equal(
      addresses.length > 0,
      ['temporal', 's3', 'bfcl'].includes(service),
      `${service} listens on ${addresses.join(', ') || 'nothing'}`,
    );
  }
});

/** Files of the run's folder (database, objects, logs) that hold a text. */
async function filesWith(text: string): Promise<string[]> {
  const entries = await readdir(stack.services.dataDir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  const found = await Promise.all(
    files.map(async (file) =>
      (await readFile(file)).includes(text) ? [path.relative(stack.services.dataDir, file)] : [],
    ),
  );
  return found.flat();
}

test('no secret is in the database, in the objects, in the logs; the search finds what is there', async () => {
  const places = (await filesWith(RUN)).map((file) => file.split(path.sep)[0]);
  for (const place of ['temporal', 's3', 'logs']) assert.ok(places.includes(place), `the run's name is in ${place}`);
  assert.deepEqual(await filesWith(TOKEN), []);
  // The one record of the keys is readable by its owner only.
  assert.deepEqual(await filesWith(stack.services.keys.secretAccessKey), ['services.json']);
  assert.equal((await stat(path.join(stack.services.dataDir, 'services.json'))).mode & 0o777, 0o600);
});

test('no secret is in a history, nor in anything that an argument or a result says', async () => {
  for (const id of [RUN, `${RUN}/iteration-0000`]) {
    const history = historyToJSON(await stack.client.workflow.getHandle(id).fetchHistory());
    // Payloads are base64 in this form: what they say is searched as well.
    const said =
      history +
      [...history.matchAll(/"data":\s*"([^"]+)"/g)]
        .map(([, data]) => Buffer.from(data!, 'base64').toString())
        .join('\n');
    assert.ok(said.includes('"learningRate":0.01') || id !== RUN, 'the configuration was found in the history');
    for (const secret of [TOKEN, stack.services.keys.secretAccessKey, stack.services.keys.accessKeyId])
      assert.ok(!said.includes(secret), id);
  }
});
