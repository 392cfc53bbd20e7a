import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { arithmeticOf, readSettings } from '../../workers/dependencies.js';

test('only the bucket must be given', () => {
  const settings = readSettings({ SEEUPO_S3_BUCKET: 'runs' });
  assert.deepEqual(settings.queues, { control: 'seeupo-control', gpu: 'seeupo-gpu' });
  assert.deepEqual(settings.s3, {
    endpoint: null,
    bucket: 'runs',
    region: 'us-east-1',
    forcePathStyle: false,
    encryption: null,
    proxy: null,
  });
  assert.equal(settings.deployment, null);
  assert.equal(settings.modelsDir, path.resolve('.runtime/models'));
});

test("an endpoint of one's own has the bucket in the path unless told otherwise", () => {
  const given = { SEEUPO_S3_BUCKET: 'runs', SEEUPO_S3_ENDPOINT: 'http://127.0.0.1:9000' };
  assert.equal(readSettings(given).s3.forcePathStyle, true);
  assert.equal(readSettings({ ...given, SEEUPO_S3_FORCE_PATH_STYLE: 'false' }).s3.forcePathStyle, false);
});

test('encryption and a build are taken from the environment', () => {
  const given = {
    SEEUPO_S3_BUCKET: 'runs',
    SEEUPO_S3_SSE: 'aws:kms',
    SEEUPO_S3_KMS_KEY_ID: 'arn:aws:kms:eu-west-1:1:key/2',
    SEEUPO_BUILD_ID: 'v2',
  };
  assert.deepEqual(readSettings(given).s3.encryption, {
    algorithm: 'aws:kms',
    kmsKeyId: 'arn:aws:kms:eu-west-1:1:key/2',
  });
  assert.deepEqual(readSettings(given).deployment, { name: 'seeupo', buildId: 'v2' });
  assert.throws(() => readSettings({ ...given, SEEUPO_S3_SSE: 'none' }), {
    message: /SEEUPO_S3_SSE is "none": must be AES256, aws:kms or aws:kms:dsse/,
  });
});

test('what a worker computes in: its settings, its device, the threads of a replica, and variables that change sums, no others', () => {
  const cpu = { name: 'EPYC', library: 'libtensorflow 2.21.0', isProcessor: true };
  const variables = {
    TF_ENABLE_ONEDNN_OPTS: '1',
    TF_CPP_MIN_LOG_LEVEL: '2',
    ONEDNN_MAX_CPU_ISA: 'AVX2',
    NVIDIA_TF32_OVERRIDE: '0',
    PATH: '/bin',
    TF_DETERMINISTIC_OPS: '',
    TF_NUM_INTRAOP_THREADS: '3',
  };
  assert.deepEqual(arithmeticOf({ precision: 'bf16', replicas: 2 }, cpu, variables), {
    precision: 'bf16',
    replicas: 2,
    device: 'EPYC',
    threads: 3,
    library: 'libtensorflow 2.21.0',
    flags: ['NVIDIA_TF32_OVERRIDE=0', 'ONEDNN_MAX_CPU_ISA=AVX2', 'TF_ENABLE_ONEDNN_OPTS=1'],
  });
  assert.equal(arithmeticOf({ precision: 'fp32', replicas: 1 }, cpu, {}).threads, availableParallelism());
  assert.equal(
    arithmeticOf({ precision: 'fp32', replicas: 1 }, { ...cpu, isProcessor: false }, variables).threads,
    null,
  );
});

test('all variables that need attention are named at once', () => {
  assert.throws(
    () =>
      readSettings({ SEEUPO_S3_BUCKET: '', SEEUPO_TEMPORAL_ADDRESS: 'http://localhost', SEEUPO_BFCL_URL: 'nowhere' }),
    {
      name: 'BadEnvironmentVariables',
      message:
        /SEEUPO_TEMPORAL_ADDRESS is "http:\/\/localhost": must be host:port.*\n.*SEEUPO_S3_BUCKET is not set: must name the bucket\n.*SEEUPO_BFCL_URL is "nowhere": must be a URL/,
    },
  );
});
