import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { createS3Store } from '../../../activities/artifacts/s3-store.js';
import { readSettings } from '../../../workers/dependencies.js';
import { storeContract } from './store-contract.js';

/**
 * The contract against the server that the environment names, whose bucket must be there and be empty: `npm run
 * store-contract`.
 */
const { bucket: Bucket, endpoint, region, forcePathStyle } = readSettings().s3;
const store = createS3Store({ bucket: Bucket, endpoint, region, forcePathStyle });
const behind = new S3Client({ region, forcePathStyle, ...(endpoint !== null && { endpoint }) });

before(async () => {
  for await (const key of store.list(''))
    assert.fail(
      `bucket "${Bucket}" is not empty, it has ${key}: the contract writes and deletes, so it takes an empty one`,
    );
});
after(() => {
  store.close();
  behind.destroy();
});

storeContract(endpoint ?? `AWS ${region}`, {
  store: () => store,
  async overwrite(Key, bytes) {
    await (bytes
      ? behind.send(new PutObjectCommand({ Bucket, Key, Body: bytes }))
      : behind.send(new DeleteObjectCommand({ Bucket, Key })));
  },
});
