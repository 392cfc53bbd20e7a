import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  startServices,
  stopRecordedServices,
  type ServiceDefinition,
  type ServicesOptions,
} from '../../scripts/services.js';
import { choosePort } from '../../scripts/services/ports.js';
import { identify } from '../../scripts/setup/process-identity.js';
import { dummyService } from './fixtures/dummy-service.js';

let root: string;
let dataDir: string;
let count = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'seeupo-supervisor-'));
});
beforeEach(() => {
  dataDir = join(root, String(count++));
});
after(() => rm(root, { recursive: true, force: true }));

const start = (extra: ServicesOptions['extra'], log: (line: string) => void = () => undefined) =>
  startServices({ dataDir, only: [], extra: extra ?? [], log });
const lives = async (pid: number | undefined) => pid !== undefined && (await identify(pid)) !== undefined;
async function until(what: string, condition: () => Promise<boolean> | boolean, withinMs = 10_000): Promise<void> {
  for (const deadline = Date.now() + withinMs; !(await condition()); await sleep(30)) {
    if (Date.now() > deadline) assert.fail(`${what}: not within ${withinMs} ms`);
  }
}
interface Recorded {
  services: Record<string, { ports: { http: number }; process: { pid: number } | null }>;
}
const recorded = async (): Promise<Recorded> =>
  JSON.parse(await readFile(join(dataDir, 'services.json'), 'utf8')) as Recorded;

/** A supervisor in another process, with the pids of its services. */
async function otherSupervisor(...names: string[]): Promise<{ process: ChildProcess; pids: Record<string, number> }> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'fixtures', 'hold-services.js'), dataDir, ...names],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { process: child, pids: JSON.parse(line.toString()) as Record<string, number> };
}

test('a service that is killed is started again on the same port', async () => {
  const services = await start([dummyService('alpha')]);
  const restarts: string[] = [];
  services.on('restart', (name, reason) => restarts.push(`${name} ${reason}`));
  const first = services.pids().alpha;
  const port = (await recorded()).services.alpha?.ports.http;
  process.kill(first ?? 0, 'SIGKILL');
  await until(
    'a new process answers',
    async () =>
      (await fetch(`http://127.0.0.1:${port}/`).then(
        (r) => r.text(),
        () => '',
      )) === String(services.pids().alpha) && services.pids().alpha !== first,
  );
  assert.deepEqual(restarts, ['alpha was killed by SIGKILL']);
  await services.stop();
  assert.equal(await lives(services.pids().alpha), false);
});

test('stop ends a later stage before an earlier one, and is safe to call twice', async () => {
  process.env.DUMMY_STOP_LOG = join(root, 'stop-order');
  try {
    const services = await start([dummyService('server'), dummyService('worker', { stage: 1 })]);
    const { services: records } = await recorded();
    await services.stop();
    await services.stop();
    assert.deepEqual((await readFile(process.env.DUMMY_STOP_LOG, 'utf8')).trim().split('\n').map(Number), [
      records.worker?.ports.http,
      records.server?.ports.http,
    ]);
  } finally {
    delete process.env.DUMMY_STOP_LOG;
  }
});

test('a service that cannot start is an error with the end of its log, and what had started is stopped', async () => {
  const started: number[] = [];
  await assert.rejects(
    start([dummyService('fine'), dummyService('broken', { crash: true, stage: 1 })], () => undefined).finally(
      async () => {
        started.push(
          ...Object.values((await recorded()).services).flatMap(({ process }) =>
            process === null ? [] : [process.pid],
          ),
        );
      },
    ),
    (error: Error) =>
      error.name === 'ServiceError' &&
      /broken does not start: it ended 3 times/.test(error.message) &&
      /the dummy disk is full/.test(error.message),
  );
  assert.deepEqual(started, []);
});

test('after kill -9 of the supervisor its services live on, and the next start takes them over', async () => {
  const other = await otherSupervisor('alpha');
  other.process.kill('SIGKILL');
  await once(other.process, 'exit');
  assert.equal(await lives(other.pids.alpha), true);
  const log: string[] = [];
  const services = await start([dummyService('alpha')], (line) => log.push(line));
  assert.equal(services.pids().alpha, other.pids.alpha);
  assert.match(log.join('\n'), /alpha was still running \(process \d+\), taken over/);
  process.kill(other.pids.alpha ?? 0, 'SIGKILL'); // no child of ours: its death is noticed all the same
  await until('it is started again', () => services.pids().alpha !== other.pids.alpha);
  await services.stop();
  assert.equal(await lives(services.pids().alpha), false);
});

test('an orphan that runs other code is replaced, not adopted', async () => {
  const other = await otherSupervisor('alpha');
  other.process.kill('SIGKILL');
  await once(other.process, 'exit');
  const services = await start([dummyService('alpha', { version: '2' })]);
  assert.notEqual(services.pids().alpha, other.pids.alpha);
  assert.equal(await lives(other.pids.alpha), false);
  await services.stop();
});

test('two supervisors share a service; the one that stays takes it over, and the last to leave stops it', async () => {
  const other = await otherSupervisor('alpha');
  const services = await start([dummyService('alpha')]);
  assert.equal(services.pids().alpha, other.pids.alpha);
  other.process.kill('SIGTERM');
  await once(other.process, 'exit');
  assert.equal(await lives(other.pids.alpha), true);
  process.kill(other.pids.alpha ?? 0, 'SIGKILL');
  await until('the one that stayed starts it again', async () => {
    const { pid } = (await recorded()).services.alpha?.process ?? {};
    return pid !== other.pids.alpha && (await lives(pid));
  });
  await services.stop();
  assert.equal(await lives((await recorded()).services.alpha?.process?.pid), false);
});

test('two supervisors that leave at the same moment leave nothing running', async () => {
  const other = await otherSupervisor('alpha');
  const services = await start([dummyService('alpha')]);
  other.process.kill('SIGTERM');
  await once(other.process, 'exit'); // no second for the one that stays to take over
  await services.stop();
  assert.equal(await lives(other.pids.alpha), false);
});

test('a stranger that takes the chosen port at the last moment, and answers there, is not taken for the service', async () => {
  const stranger = createHttpServer((_, response) => response.end('I am well'));
  const alpha = dummyService('alpha');
  const race: ServiceDefinition = {
    ...alpha,
    async beforeStart({ port }) {
      if (stranger.listening) return;
      stranger.listen(port('alpha'), '127.0.0.1');
      await once(stranger, 'listening');
    },
  };
  try {
    const services = await start([race]);
    const port = (await recorded()).services.alpha?.ports.http;
    assert.notEqual(port, (stranger.address() as { port: number }).port);
    assert.equal(
      await fetch(`http://127.0.0.1:${port}/`).then((response) => response.text()),
      String(services.pids().alpha),
    );
    await services.stop();
  } finally {
    stranger.closeAllConnections();
    stranger.close();
  }
});

test('release leaves services running, and stopRecordedServices ends them', async () => {
  const services = await start([dummyService('alpha')]);
  await services.release();
  assert.equal(await lives(services.pids().alpha), true);
  assert.deepEqual(await stopRecordedServices(dataDir), ['alpha']);
  assert.equal(await lives(services.pids().alpha), false);
});

test('a start that is called off leaves nothing running', async () => {
  const off = new AbortController();
  const never = { ...dummyService('never'), isHealthy: async () => false };
  const starting = startServices({ dataDir, only: [], extra: [dummyService('alpha'), never], signal: off.signal });
  await until(
    'both processes run',
    async () => Object.values((await recorded().catch(() => ({ services: {} }))).services).length === 2,
  );
  off.abort();
  await assert.rejects(starting, /stopped while \w+ was starting/);
  for (const { process } of Object.values((await recorded()).services)) assert.equal(process, null);
});

test('a port that a person fixed and someone holds is one error, with the port, its purpose, its holder and the variable', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as { port: number };
  process.env.SEEUPO_TEST_FIXED_PORT = String(port);
  const need = { key: 'http', purpose: 'the S3 server', variable: 'SEEUPO_TEST_FIXED_PORT', from: 27_100 };
  try {
    await assert.rejects(choosePort(need, undefined, false), (error: Error) => {
      assert.match(
        error.message,
        new RegExp(`^port ${port}, which SEEUPO_TEST_FIXED_PORT fixes for the S3 server, is in use`),
      );
      if (process.platform === 'linux') assert.match(error.message, new RegExp(`by process ${process.pid} `));
      return true;
    });
    process.env.SEEUPO_TEST_FIXED_PORT = 'seventy';
    await assert.rejects(
      choosePort(need, undefined, false),
      /SEEUPO_TEST_FIXED_PORT is "seventy", expected a port from 1 to 65535/,
    );
    delete process.env.SEEUPO_TEST_FIXED_PORT;
    assert.notEqual(await choosePort(need, port, false), port); // used before, now taken: another one
  } finally {
    delete process.env.SEEUPO_TEST_FIXED_PORT;
    holder.close();
  }
});

test('the record with the S3 keys is readable by its owner only, and a damaged one does not stop a start', async () => {
  const services = await start([]);
  const path = join(dataDir, 'services.json');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await services.stop();
  await writeFile(path, '{"keys":');
  const again = await start([dummyService('alpha')]);
  await again.stop();
});
