#!/usr/bin/env node
// npm run store-contract -- --endpoint URL --bucket NAME: whether an S3 server keeps what runs are built on.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { command, UsageError } from './models/command.js';

const USAGE = `npm run store-contract -- --endpoint URL --bucket NAME [--region NAME]

Runs the tests that every store must pass (conditional puts, races, large objects, lists) against an S3 server and an empty
bucket of its own; objects stay there. Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role.`;

const tests = fileURLToPath(new URL('../test/activities/artifacts/contract-of-server.js', import.meta.url));

await command(async () => {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { endpoint: text, bucket: text, region: text, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return console.log(USAGE);
  if (values.bucket === undefined) throw new UsageError(`--bucket is missing\n\n${USAGE}`);
  const server = {
    SEEUPO_S3_ENDPOINT: values.endpoint ?? '',
    SEEUPO_S3_BUCKET: values.bucket,
    SEEUPO_S3_REGION: values.region ?? 'us-east-1',
  };
  const env = { ...server, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' };
  const { exitCode } = await execa(process.execPath, ['--test', '--test-reporter=spec', tests], {
    env,
    stdio: 'inherit',
    reject: false,
  });
  process.exitCode = exitCode ?? 1;
});
