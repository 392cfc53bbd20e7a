import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { createS3Store, type S3StoreOptions } from '../../../activities/artifacts/s3-store.js';
import { sweepBlobs, sweptInWords } from '../../../activities/retention/sweep-blobs.js';
import { startCarelessS3, type Careless } from '../../support/careless-s3.js';
import { startS3Server, type S3Server } from '../../support/s3-server.js';

const options: S3StoreOptions = {
  bucket: 'artifacts',
  region: 'us-east-1',
  endpoint: null,
  forcePathStyle: true,
  credentials: { accessKeyId: 'k', secretAccessKey: 's' },
};

/** A store over a server that leaves something out; what lies there in the end. */
async function against(
  careless: Careless,
  use: (store: ReturnType<typeof createS3Store>) => Promise<void>,
): Promise<string[]> {
  const server = await startCarelessS3(careless);
  const store = createS3Store({ ...options, endpoint: server.url });
  try {
    await use(store);
    return server.keys();
  } finally {
    store.close();
    server.close();
  }
}

test('a server that honours conditions passes, and keeps nothing of the probe', async () => {
  assert.deepEqual(await against({}, (store) => store.checkAccess()), []);
});

test('many workers that look at once do not disturb each other', async () => {
  const left = await against({}, async (store) => {
    await Promise.all(Array.from({ length: 8 }, () => store.checkAccess()));
  });
  assert.deepEqual(left, []);
});

const unfit: Record<string, [Careless, RegExp]> = {
  'ignores both conditions, as s3rver does': [
    { ignores: ['if-none-match', 'if-match'] },
    /If-None-Match: \* it accepted 8/,
  ],
  'ignores If-None-Match': [{ ignores: ['if-none-match'] }, /If-None-Match/],
  'ignores If-Match': [{ ignores: ['if-match'] }, /If-Match of a version that the object does not have/],
  'looks first and writes later, so that of several at once all win': [
    { slowly: true },
    /If-None-Match: \* it accepted 8, where one at most/,
  ],
};
for (const [what, [careless, found]] of Object.entries(unfit)) {
  test(`a server that ${what} is refused with what it did`, async () => {
    const left = await against(careless, (store) =>
      assert.rejects(store.checkAccess(), (error: Error) => {
        assert.equal(error.name, 'StoreUnfit');
        assert.match(error.message, /does not honour conditional puts: .*Exactly-once needs them/);
        assert.match(error.message, found);
        return true;
      }),
    );
    assert.deepEqual(left, []);
  });
}

test('a server without conditional puts that says so is refused with its own code', async () => {
  const refuses = { method: 'PUT', status: 501, code: 'NotImplemented' };
  await against({ refuses }, (store) =>
    assert.rejects(store.checkAccess(), {
      name: 'StoreRefused',
      message: /status 501, NotImplemented.*If-None-Match and If-Match/,
    }),
  );
});

test('an answer to HEAD has no code: it is asked for once more as a GET, and told', async () => {
  const expired: RequestListener = (request, response) => {
    response.writeHead(400, { 'content-type': 'application/xml' });
    response.end(
      request.method === 'HEAD'
        ? undefined
        : '<?xml version="1.0"?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>',
    );
  };
  const server = createServer((request, response) =>
    request.resume().once('end', () => expired(request as never, response as never)),
  ).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const store = createS3Store({ ...options, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  try {
    const told = {
      name: 'StorePermissionDenied',
      message: /status 400, ExpiredToken, The provided token has expired.*AWS_SESSION_TOKEN/,
    };
    await assert.rejects(store.putBlob(Buffer.from('x')), told); // begins with a HEAD
    await assert.rejects(store.checkAccess(), told);
  } finally {
    store.close();
    server.closeAllConnections();
    server.close();
  }
});

test('credentials that ran out and are renewed within seconds cost a step nothing: they are read again', async () => {
  let refused = 0;
  const server = createServer((request, response) => {
    request.resume();
    if (request.headers.authorization!.includes('Credential=new/')) return void response.writeHead(204).end();
    refused++;
    response.writeHead(400, { 'content-type': 'application/xml' });
    response.end(
      '<?xml version="1.0"?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>',
    );
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  let read = 0;
  // As of a file that somebody renews: when they run out is not known.
  const credentials = async () => ({ accessKeyId: ++read < 3 ? 'old' : 'new', secretAccessKey: 's' });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [patient, hasty] = [
    createS3Store({ ...options, credentials, endpoint, patienceMs: 60_000 }),
    createS3Store({ ...options, endpoint }),
  ];
  try {
    await assert.rejects(hasty.remove('k'), {
      name: 'StorePermissionDenied',
      message: /ExpiredToken.*AWS_SESSION_TOKEN/,
    });
    refused = 0;
    await patient.remove('k');
    assert.deepEqual([refused, read], [2, 3]);
  } finally {
    patient.close();
    hasty.close();
    server.closeAllConnections();
    server.close();
  }
});

test('https to a server that speaks http is told by the scheme, and not waited for', async () => {
  const server = await startCarelessS3({});
  const store = createS3Store({ ...options, endpoint: server.url.replace('http:', 'https:') });
  await assert
    .rejects(store.checkAccess(), { name: 'StoreRefused', message: /must begin with http:\/\// })
    .finally(() => (store.close(), server.close()));
});

test('a web page in place of an S3 server is told as that', async () => {
  const server = createServer((_, response) => response.end('<!doctype html><html><body>console</body></html>')).listen(
    0,
    '127.0.0.1',
  );
  await new Promise((resolve) => server.once('listening', resolve));
  const store = createS3Store({ ...options, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  await assert
    .rejects(store.checkAccess(), { name: 'StoreRefused', message: /no S3 server/ })
    .finally(() => (store.close(), server.close()));
});

test('a sweep of a bucket that keeps versions does not call their bytes deleted', async () => {
  await against({ versions: true }, async (store) =>
    assert.deepEqual(await store.remove('some/key'), { versionStays: true }),
  );
  const words = sweptInWords({ blobs: 2, bytes: 3_000_000, young: 0, bytesKept: 3_000_000, uploads: 1 });
  assert.match(
    words,
    /the bucket keeps versions: 3\.0 MB of that stay.*NoncurrentVersionExpiration.*\n.*gave up 1 uploads/,
  );
});

let real: S3Server;
before(async () => {
  real = await startS3Server();
});
after(() => real?.remove());

test('the wrong region is told by the variable to set, and ends the worker: it does not pass', async () => {
  const store = createS3Store({ ...real.options, region: 'eu-west-1' });
  await assert
    .rejects(store.checkAccess(), { name: 'StoreRefused', message: /SEEUPO_S3_REGION/ })
    .finally(() => store.close());
});

test('parts that a killed worker left are given up once they are old, by retention too; younger ones go on', async () => {
  const { bucket: Bucket, region, endpoint, forcePathStyle, credentials } = real.options;
  const client = new S3Client({ region, endpoint: endpoint!, forcePathStyle, credentials: credentials! });
  const store = createS3Store(real.options);
  try {
    const begin = async (Key: string) => {
      const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
      await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: Buffer.alloc(5_000_000) }));
    };
    const unfinished = async () =>
      ((await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []).map(({ Key }) => Key).sort();
    for (const key of ['blobs/sha256/aa/one', 'blobs/sha256/bb/two', 'elsewhere/three']) await begin(key);
    assert.equal(await store.abortUploads(Date.now() - 86_400_000), 0);
    assert.equal((await unfinished()).length, 3);
    const swept = await sweepBlobs(store, { now: () => Date.now() + 2 * 86_400_000 });
    assert.equal(swept.uploads, 2);
    // What is not ours stays.
    assert.deepEqual(await unfinished(), ['elsewhere/three']);
  } finally {
    store.close();
    client.destroy();
  }
});
