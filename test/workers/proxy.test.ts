// Needs of set-up: temporal
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import http, { type Server } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { createS3Store } from '../../activities/artifacts/s3-store.js';
import { HubModels } from '../../activities/policy/hub-models.js';
import { readSettings } from '../../workers/dependencies.js';
import { fetchThrough, proxyFor } from '../../workers/proxy.js';
import { temporalConnection } from '../../workers/temporal-connection.js';
import { connectionFault } from '../../workers/temporal-fault.js';
import { tinyModel } from '../activities/policy/tiny-models.js';
import { binary } from '../support/binaries.js';
import { startHub } from '../support/hub-server.js';
import { startS3Server, type S3Server } from '../support/s3-server.js';

/**
 * A real CONNECT proxy, which asks for a login and is the only one that knows hosts named `*.behind`: they are on
 * loopback.
 */
let proxy: Server;
let url: string;
const connected: string[] = [];
let s3: S3Server;
let temporal: TestWorkflowEnvironment;
let hub: Awaited<ReturnType<typeof startHub>>;
const portOf = (address: string): string => /:(\d+)$/.exec(address)![1]!;

before(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  proxy = http.createServer().on('connect', (request, socket, head: Buffer) => {
    if (request.headers['proxy-authorization'] !== `Basic ${Buffer.from('me:p@ss').toString('base64')}`) {
      return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n');
    }
    connected.push(request.url!);
    const upstream = net.connect(Number(portOf(request.url!)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.write(head);
      socket.pipe(upstream).pipe(socket);
    });
    socket.on('error', () => upstream.destroy());
    upstream.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  url = `http://me:p%40ss@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const model = tinyModel('llama-tied');
  const files = Object.fromEntries(readdirSync(model).map((name) => [name, readFileSync(path.join(model, name))]));
  hub = await startHub({ 'tiny/llama': { files, revisions: { main: 'a'.repeat(40) } } });
  s3 = await startS3Server();
  temporal = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: binary('temporal') },
      log: { format: 'pretty', level: 'error' },
    },
  });
});
after(async () => {
  await temporal?.teardown();
  await s3?.remove();
  await hub?.stop();
  proxy?.closeAllConnections();
  proxy?.close();
});

/** Settings of a worker whose servers are all behind the proxy. */
const settings = (variables: Record<string, string>) =>
  readSettings({
    SEEUPO_S3_BUCKET: s3.options.bucket,
    SEEUPO_S3_ENDPOINT: `http://store.behind:${portOf(s3.options.endpoint!)}`,
    SEEUPO_TEMPORAL_ADDRESS: `temporal.behind:${portOf(temporal.address)}`,
    HF_ENDPOINT: `http://hub.behind:${portOf(hub.endpoint)}`,
    ...variables,
  });

test('S3, Temporal and the hub are reached through the proxy of the environment, with its login', async () => {
  const found = settings({ HTTP_PROXY: url });
  const store = createS3Store({ ...found.s3, credentials: s3.options.credentials! });
  await store.checkAccess();
  const large = Buffer.alloc(20_000_000, 'x');
  assert.equal((await store.getBlob(await store.putBlob(large))).length, large.length);
  store.close();
  await (await NativeConnection.connect(temporalConnection(found.temporal))).close();
  const models = await mkdtemp(path.join(tmpdir(), 'seeupo-proxy-'));
  await new HubModels(models, { ...found.hub, fetch: fetchThrough(found.proxies) }).fetch('hf://tiny/llama');
  for (const host of ['store.behind', 'temporal.behind', 'hub.behind'])
    assert.ok(
      connected.some((target) => target.startsWith(`${host}:`)),
      `${host} of ${connected.join(' ')}`,
    );
});

test('a proxy that refuses is named, and so is where its login goes; the worker ends', async () => {
  const { temporal: refused } = settings({ HTTP_PROXY: url.replace('me:', 'you:') });
  const fault = await NativeConnection.connect(temporalConnection(refused)).then(
    () => assert.fail('it connected'),
    (error: unknown) => connectionFault(error, refused),
  );
  assert.equal(fault.name, 'TemporalMisconfigured');
  assert.match(fault.message, /the proxy refuses the connection \(407\): put the login into HTTPS_PROXY.*NO_PROXY/);
});

test('a proxy that cannot be one is refused by its variable, without its password; where none is used it is not looked at', () => {
  for (const wrong of ['socks5://me:s3cret@proxy:1080', 'http://me:s3cret@', 'https://me:s3cret@proxy:443']) {
    assert.throws(
      () => settings({ HTTP_PROXY: wrong }),
      (error: Error) => /HTTP_PROXY is no HTTP proxy/.test(error.message) && !error.message.includes('s3cret'),
    );
  }
  assert.equal(
    readSettings({
      SEEUPO_S3_BUCKET: 'runs',
      SEEUPO_S3_ENDPOINT: 'http://127.0.0.1:9000',
      HTTPS_PROXY: 'socks5://x',
      HTTP_PROXY: 'socks5://x',
    }).s3.proxy,
    null,
  );
});

/** Target, NO_PROXY, whether it is proxied. */
const EXCEPTIONS: readonly (readonly [target: string, except: string, proxied: boolean])[] = [
  ['http://store.lab', '', true],
  ['https://store.lab', '', true],
  ['http://localhost:9000', '', false],
  ['http://a.localhost:9000', '', false],
  ['http://127.0.0.1:9000', '', false],
  ['https://127.8.9.1', '', false],
  ['http://[::1]:9000', '', false],
  ['http://store.lab', '*', false],
  ['http://store.lab', 'store.lab', false],
  ['http://store.lab', 'other.lab, store.lab', false],
  ['http://store.lab', '.lab', false],
  ['http://store.lab', 'lab', false],
  ['http://store.lab', '*.lab', false],
  ['http://STORE.lab', 'Store.LAB', false],
  ['http://mystore.lab', 'store.lab', true],
  ['http://a.store.lab', 'store.lab', false],
  ['http://store.lab:9000', 'store.lab:9000', false],
  ['http://store.lab:9001', 'store.lab:9000', true],
  ['https://store.lab', 'store.lab:443', false],
  ['http://10.1.2.3:9000', '10.0.0.0/8', false],
  ['http://11.1.2.3:9000', '10.0.0.0/8', true],
  ['http://10.1.2.3:9000', '10.1.2.3', false],
  ['http://[fd00::1]:9000', 'fd00::1', false],
  ['http://[fd00::1]:9000', 'fd00::/8', false],
  ['http://[fd00::1]:9000', '', true],
  ['http://store.lab', '10.0.0.0/99', true],
];
test(`${EXCEPTIONS.length} targets: loopback is never proxied, nor what NO_PROXY names`, () => {
  for (const [target, except, proxied] of EXCEPTIONS) {
    const found = proxyFor(new URL(target), { https: 'secure:1', http: 'http://plain:2', except });
    const through = target.startsWith('https') ? 'http://secure:1/' : 'http://plain:2/';
    assert.equal(found, proxied ? through : null, `${target} with NO_PROXY=${except}`);
  }
});
