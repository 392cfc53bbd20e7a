import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createServer, type RequestListener } from 'node:http';
import { after, before, test } from 'node:test';
import type { AddressInfo } from 'node:net';
import getPort from 'get-port';
import { z } from 'zod';
import { sha256 } from '../../../activities/artifacts/canonical-json.js';
import { createS3Store, type S3StoreOptions } from '../../../activities/artifacts/s3-store.js';
import { FaultProxy } from '../../../scripts/chaos/fault-proxy.js';
import { startS3Server, type S3Server } from '../../support/s3-server.js';
import { storeContract } from './store-contract.js';

let server: S3Server;
let store: ReturnType<typeof createS3Store>;
before(async () => {
  server = await startS3Server();
  store = createS3Store(server.options);
});
after(async () => {
  store?.close();
  await server?.remove();
});

storeContract('versitygw', {
  store: () => store,
  async overwrite(key, bytes) {
    const file = path.join(server.folder, server.options.bucket, key);
    await (bytes ? writeFile(file, bytes) : rm(file));
  },
});

const accessTo = async (options: S3StoreOptions): Promise<void> => {
  const other = createS3Store(options);
  try {
    await other.checkAccess();
  } finally {
    other.close();
  }
};

test('a server that is down is unavailable, which is worth a retry', async () => {
  const endpoint = `http://127.0.0.1:${await getPort()}`;
  await assert.rejects(accessTo({ ...server.options, endpoint }), {
    name: 'StoreUnavailable',
    message: new RegExp(`${endpoint}.*ECONNREFUSED.*SEEUPO_S3_ENDPOINT`),
  });
});

test('a bucket that is missing is named with the command that creates it', async () => {
  await assert.rejects(accessTo({ ...server.options, bucket: 'no-such-bucket' }), {
    name: 'StoreBucketMissing',
    message: /"no-such-bucket".*create-bucket --bucket no-such-bucket/,
  });
});

test('wrong credentials are refused, naming the variables to check', async () => {
  const credentials = { accessKeyId: 'test-key', secretAccessKey: 'wrong' };
  await assert.rejects(accessTo({ ...server.options, credentials }), {
    name: 'StorePermissionDenied',
    message: /AWS_SECRET_ACCESS_KEY/,
  });
});

/** A store whose server answers as told. */
async function against(
  answer: RequestListener,
  use: (store: ReturnType<typeof createS3Store>) => Promise<void>,
): Promise<void> {
  const http = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => http.once('listening', resolve));
  const faulty = createS3Store({
    ...server.options,
    endpoint: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
  });
  try {
    await use(faulty);
  } finally {
    faulty.close();
    http.closeAllConnections();
    http.close();
  }
}

const refusal =
  (status: number, code: string): RequestListener =>
  (request, response) => {
    request.resume().once('end', () => {
      response.writeHead(status, { 'content-type': 'application/xml' });
      response.end(
        request.method === 'HEAD'
          ? undefined
          : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code} it is</Message></Error>`,
      );
    });
  };

test('a store that is out of space says so, and nothing is committed', async () => {
  await against(
    (request, response) =>
      (request.method === 'HEAD' ? refusal(404, 'NotFound') : refusal(507, 'InsufficientStorage'))(request, response),
    (full) => assert.rejects(full.putBlob(Buffer.from('x')), { name: 'StoreFull', message: /nothing was committed/ }),
  );
});

test('a bucket without permission to write is told apart from one that is missing', async () => {
  await against(
    (request, response) => {
      if (request.method === 'PUT') return refusal(403, 'AccessDenied')(request, response);
      response
        .writeHead(200, { 'content-type': 'application/xml' })
        .end('<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>');
    },
    (closed) => assert.rejects(closed.checkAccess(), { name: 'StorePermissionDenied', message: /s3:PutObject/ }),
  );
});

test('a server that fails is asked again, then called unavailable', async () => {
  let asked = 0;
  await against(
    (request, response) => {
      asked++;
      refusal(500, 'InternalError')(request, response);
    },
    (slow) =>
      assert.rejects(slow.getBlob({ key: 'k', sha256: 'a'.repeat(64), bytes: 1 }), {
        name: 'StoreUnavailable',
        message: /500/,
      }),
  );
  assert.ok(asked > 1, `asked ${asked} time(s)`);
});

test('a body that is cut in half once is read again', async () => {
  const ref = await store.putBlob(Buffer.alloc(10_000, 'body'));
  let cut = false;
  await against(
    async (request, response) => {
      const whole = await store.getBlob(ref);
      response.writeHead(200, { 'content-length': String(whole.length) });
      if (cut) return void response.end(whole);
      cut = true;
      response.write(whole.slice(0, 5_000), () => request.socket.destroy());
    },
    async (cutting) => assert.equal((await cutting.getBlob(ref)).length, 10_000),
  );
});

test('server-side encryption is asked for with every object that is written, whole, in parts or by condition', async () => {
  const asked: (string | undefined)[][] = [];
  const http = createServer((request, response) => {
    const { method, url, headers } = request;
    request.resume().once('end', () => {
      const encryption = ['x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id'].map(
        (name) => headers[name] as string | undefined,
      );
      const creates = (method === 'PUT' && !url!.includes('partNumber')) || url!.includes('uploads');
      if (creates) asked.push(encryption);
      if (method === 'HEAD') return void response.writeHead(404).end();
      response.setHeader('etag', '"part"');
      if (method === 'POST') response.setHeader('content-type', 'application/xml');
      response.end(
        method !== 'POST'
          ? undefined
          : url!.includes('uploads')
            ? '<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>'
            : '<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>',
      );
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => http.once('listening', resolve));
  const encrypting = createS3Store({
    ...server.options,
    endpoint: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    encryption: { algorithm: 'aws:kms', kmsKeyId: 'key-1' },
  });
  await encrypting.putBlob(Buffer.from('small'));
  await encrypting.putBlob(Buffer.alloc(17 * 1024 * 1024));
  await encrypting.commitManifest('runs/x/a.json', { a: 1 }, z.strictObject({ a: z.number() }));
  encrypting.close();
  http.closeAllConnections();
  http.close();
  assert.deepEqual(
    asked,
    Array.from({ length: 3 }, () => ['aws:kms', 'key-1']),
  );
});

test('a large artifact comes down in ranges, no larger than a part; bodies that are cut off go on where they ended', async () => {
  const PART = 16 * 1024 * 1024;
  const bytes = randomBytes(2 * PART + 1_000);
  const ref = await store.putBlob(bytes);
  const cutting = await FaultProxy.listen(async () => Number(new URL(server.options.endpoint!).port));
  const reading = createS3Store({ ...server.options, endpoint: cutting.url, patienceMs: 20_000 });
  try {
    const over = cutting.inflict('cut', 2);
    assert.equal(sha256(await reading.getBlob(ref)), ref.sha256);
    await over;
  } finally {
    reading.close();
    await cutting.close();
  }
});

test('a large artifact that was replaced by one of another length is told as damaged, with what was found', async () => {
  const ref = await store.putBlob(randomBytes(17 * 1024 * 1024));
  const file = path.join(server.folder, server.options.bucket, ref.key);
  for (const length of [5, 18 * 1024 * 1024]) {
    await writeFile(file, Buffer.alloc(length));
    await assert.rejects(store.getBlob(ref), { name: 'ArtifactCorrupt', message: new RegExp(`holds ${length} bytes`) });
  }
  await rm(file);
  await assert.rejects(store.getBlob(ref), { name: 'ArtifactMissing' });
});

test('reading a large artifact takes the memory of the artifact and of a few parts', async () => {
  const MB = 1024 * 1024;
  const ref = await store.putBlob(randomBytes(192 * MB));
  globalThis.gc?.();
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers - before)), 2);
  const { length } = await store.getBlob(ref);
  clearInterval(watch);
  assert.equal(length, 192 * MB);
  assert.ok(most < (192 + 4 * 16) * MB, `${(most / MB).toFixed(0)} MB for 192`);
});
