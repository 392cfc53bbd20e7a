#!/usr/bin/env node
// npm run store-contract -- --endpoint URL --bucket NAME: whether an S3 server keeps what runs are built on.
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { command, required } from './cli.js';

const USAGE = `npm run store-contract -- --endpoint URL --bucket NAME [--region NAME]

Runs the tests that every store must pass (conditional puts, races, large objects, lists) against an S3 server and an empty
bucket of its own; objects stay there. Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role.`;

const tests = fileURLToPath(new URL('../test/activities/artifacts/contract-of-server.js', import.meta.url));

const OPTIONS = { endpoint: { type: 'string' }, bucket: { type: 'string' }, region: { type: 'string' } } as const;

await command(USAGE, OPTIONS, async (values) => {
  const server = {
    SEEUPO_S3_ENDPOINT: values.endpoint ?? '',
    SEEUPO_S3_BUCKET: required('--bucket', values.bucket),
    SEEUPO_S3_REGION: values.region ?? 'us-east-1',
  };
  const env = { ...server, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' };
  const { exitCode } = await execa(process.execPath, ['--test', '--test-reporter=spec', tests], {
    env,
    stdio: 'inherit',
    reject: false,
  });
  return exitCode ?? 1;
});
