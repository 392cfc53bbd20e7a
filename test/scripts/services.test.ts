import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { attributes } from '../../workflows/search-attributes.js';
import { startServices, type Services } from '../../scripts/services.js';
import { programPath } from '../../scripts/setup/index.js';
import { identify } from '../../scripts/setup/process-identity.js';

let dataDir: string;
let services: Services;
before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'seeupo-services-'));
  services = await startServices({ dataDir });
});
after(async () => {
  await services.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function temporal(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(await programPath('temporal'), [
    ...args,
    '--address',
    services.addresses.temporal,
    '--disable-config-env',
    '--disable-config-file',
  ]);
  return stdout;
}
const s3Client = () => {
  const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = services.env();
  return new S3Client({
    endpoint: services.addresses.s3,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
};
async function killAndWait(service: string, answersAt: string): Promise<void> {
  const pid = services.pids()[service];
  assert.ok(pid);
  process.kill(pid, 'SIGKILL');
  for (const deadline = Date.now() + 20_000; ; await sleep(50)) {
    const up =
      services.pids()[service] !== pid &&
      (await fetch(answersAt).then(
        (response) => response.ok,
        () => false,
      ));
    if (up) return;
    if (Date.now() > deadline) assert.fail(`${service} did not come back at ${answersAt}`);
  }
}

test('the Temporal server knows the search attributes and keeps closed runs for 30 days', async () => {
  const listed = await temporal('operator', 'search-attribute', 'list');
  for (const { name, type } of Object.values(attributes)) assert.match(listed, new RegExp(`${name}\\s+${type}`, 'i'));
  assert.match(await temporal('operator', 'namespace', 'describe', '--namespace', 'default'), /720h0m0s/);
});

test('the Web UI is served', async () => {
  const page = await fetch(services.addresses.webUi);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /<html/);
});

test('a Temporal server that is killed comes back at the same address with its workflows', async () => {
  await temporal('workflow', 'start', '--type', 'nobody', '--task-queue', 'nobody', '--workflow-id', 'survivor');
  const { temporal: address, webUi } = services.addresses;
  await killAndWait('temporal', `${webUi}/api/v1/namespaces/default`);
  assert.equal(services.addresses.temporal, address);
  assert.match(await temporal('workflow', 'describe', '--workflow-id', 'survivor'), /survivor/);
});

test('an S3 server that is killed comes back at the same address with its objects, for the same keys', async () => {
  const client = s3Client();
  await client.send(new PutObjectCommand({ Bucket: 'seeupo', Key: 'a/b', Body: 'kept' }));
  await killAndWait('s3', `${services.addresses.s3}/healthz`);
  const object = await client.send(new GetObjectCommand({ Bucket: 'seeupo', Key: 'a/b' }));
  assert.equal(await object.Body?.transformToString(), 'kept');
  client.destroy();
});

test('the BFCL sidecar answers, and comes back when it is killed', async () => {
  const url = `${services.addresses.bfcl}/healthz`;
  assert.equal((await fetch(url)).status, 200);
  await killAndWait('bfcl', url);
});

test('stop leaves no process behind, and the next start finds the data at the same addresses', async () => {
  const { addresses } = services;
  const pids = Object.values(services.pids());
  await services.stop();
  for (const pid of pids) assert.equal(pid !== undefined && (await identify(pid)), undefined);
  services = await startServices({ dataDir, only: ['temporal', 's3'] });
  assert.deepEqual([services.addresses.temporal, services.addresses.s3], [addresses.temporal, addresses.s3]);
  assert.match(await temporal('workflow', 'describe', '--workflow-id', 'survivor'), /survivor/);
  const client = s3Client();
  await client.send(new GetObjectCommand({ Bucket: 'seeupo', Key: 'a/b' }));
  client.destroy();
});
