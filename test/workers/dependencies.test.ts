import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { readSettings } from '../../workers/dependencies.js';

test('only the bucket must be given', () => {
  const settings = readSettings({ SEEUPO_S3_BUCKET: 'runs' });
  assert.deepEqual(settings.queues, { control: 'seeupo-control', gpu: 'seeupo-gpu' });
  assert.deepEqual(settings.s3, { endpoint: null, bucket: 'runs', region: 'us-east-1', forcePathStyle: false });
  assert.equal(settings.modelsDir, path.resolve('.runtime/models'));
});

test('an endpoint of one\'s own has the bucket in the path unless told otherwise', () => {
  const given = { SEEUPO_S3_BUCKET: 'runs', SEEUPO_S3_ENDPOINT: 'http://127.0.0.1:9000' };
  assert.equal(readSettings(given).s3.forcePathStyle, true);
  assert.equal(readSettings({ ...given, SEEUPO_S3_FORCE_PATH_STYLE: 'false' }).s3.forcePathStyle, false);
});

test('all variables that need attention are named at once', () => {
  assert.throws(() => readSettings({ SEEUPO_S3_BUCKET: '', SEEUPO_TEMPORAL_ADDRESS: 'http://localhost', SEEUPO_BFCL_URL: 'nowhere' }), {
    name: 'BadEnvironmentVariables',
    message: /SEEUPO_TEMPORAL_ADDRESS is "http:\/\/localhost": must be host:port.*\n.*SEEUPO_S3_BUCKET is not set: must name the bucket\n.*SEEUPO_BFCL_URL is "nowhere": must be a URL/,
  });
});
