// Needs of set-up: temporal
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { WorkflowFailedError } from '@temporalio/client';
import { execa } from 'execa';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { attributes } from '../../workflows/search-attributes.js';
import { binary } from '../support/binaries.js';
import { startS3Server, type S3Server } from '../support/s3-server.js';

const program = fileURLToPath(new URL('../../workers/cpu-worker.js', import.meta.url));
const readyFile = path.join(mkdtempSync(path.join(tmpdir(), 'seeupo-worker-')), 'ready');
let s3: S3Server;
let temporal: TestWorkflowEnvironment;
before(async () => {
  s3 = await startS3Server();
  temporal = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: binary('temporal') },
      log: { format: 'pretty', level: 'error' },
      searchAttributes: Object.values(attributes),
    },
  });
});
after(async () => {
  await temporal?.teardown();
  await s3?.remove();
});

/** A worker process, and what it has printed. */
function start(variables: Record<string, string> = {}): {
  worker: ChildProcess;
  printed: () => string;
  ended: Promise<number | null>;
} {
  const { bucket, endpoint, credentials } = s3.options;
  const { accessKeyId, secretAccessKey } = credentials as { accessKeyId: string; secretAccessKey: string };
  const worker = spawn(process.execPath, [program], {
    env: {
      PATH: process.env.PATH,
      HOME: tmpdir(),
      SEEUPO_TEMPORAL_ADDRESS: temporal.address,
      SEEUPO_S3_ENDPOINT: endpoint!,
      SEEUPO_S3_BUCKET: bucket,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      SEEUPO_READY_FILE: readyFile,
      ...variables,
    },
  });
  let printed = '';
  worker.stdout.on('data', (text) => (printed += text));
  worker.stderr.on('data', (text) => (printed += text));
  return { worker, printed: () => printed, ended: new Promise((resolve) => worker.once('exit', resolve)) };
}
async function until(what: string, holds: () => boolean, printed: () => string): Promise<void> {
  for (const began = Date.now(); !holds(); await sleep(50))
    assert.ok(Date.now() - began < 30_000, `in 30 s there was no ${what}:\n${printed()}`);
}

test('a worker waits for S3, takes tasks, gives a clear answer to a bad config, and drains on SIGTERM', async () => {
  await s3.stop();
  const { worker, printed, ended } = start();
  try {
    await until('line about waiting', () => /waiting for S3 bucket artifacts.*ECONNREFUSED/.test(printed()), printed);
    assert.ok(!existsSync(readyFile));
    await s3.start();
    await until('ready file', () => existsSync(readyFile), printed);
    assert.deepEqual(JSON.parse(readFileSync(readyFile, 'utf8')), { pid: worker.pid, taskQueue: 'seeupo-control' });

    const run = temporal.client.workflow.execute('train', {
      taskQueue: 'seeupo-control',
      workflowId: 'bad',
      args: [{ sed: 1 }],
    });
    const failure = await run.catch((error: unknown) => error);
    assert.ok(failure instanceof WorkflowFailedError);
    assert.match(
      (failure.cause!.cause as Error).message,
      /The configuration has \d+ problems:(.|\n)*sed is no setting: did you mean "seed"\?/,
    );

    const lost = temporal.client.workflow.execute('train', { taskQueue: 'seeupo-gpu', workflowId: 'lost', args: [{}] });
    const told = await lost.catch((error: unknown) => error);
    assert.ok(told instanceof WorkflowFailedError);
    assert.match(told.cause!.message, /on task queue "seeupo-gpu", expected one that ends in -control/);

    worker.kill('SIGTERM');
    assert.equal(await ended, 0);
    assert.match(printed(), /drained/);
    assert.ok(!existsSync(readyFile));
  } finally {
    worker.kill('SIGKILL');
  }
});

test('wrong credentials end the worker with one line that names the variables', async () => {
  const { printed, ended } = start({ AWS_SECRET_ACCESS_KEY: 'wrong' });
  assert.equal(await ended, 1);
  assert.match(printed(), /was refused.*AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/);
});

test('missing variables end the worker with a line for each', async () => {
  const { printed, ended } = start({ SEEUPO_S3_BUCKET: '' });
  assert.equal(await ended, 1);
  assert.match(printed(), /SEEUPO_S3_BUCKET is not set: must name the bucket/);
});

test('search attributes of another type end the worker, missing ones are waited for; the printed commands, pasted, mend it', async () => {
  const bare = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: binary('temporal') },
      log: { format: 'pretty', level: 'error' },
    },
  });
  /** As a person does who has the CLI on the path. */
  const paste = (line: string) =>
    execa('sh', ['-c', line], { env: { PATH: `${path.dirname(binary('temporal'))}:${process.env.PATH}` } });
  await paste(`temporal operator search-attribute create --address ${bare.address} --name SeeupoPaused --type Keyword`);
  const refused = start({ SEEUPO_TEMPORAL_ADDRESS: bare.address });
  assert.equal(await refused.ended, 1);
  assert.match(refused.printed(), /SeeupoPaused is of type Keyword, expected Bool/);
  await paste(/(temporal operator search-attribute remove .*? && .*?)"/.exec(refused.printed())![1]!);

  const { worker, printed, ended } = start({ SEEUPO_TEMPORAL_ADDRESS: bare.address });
  try {
    const command = /(temporal operator search-attribute create --name SeeupoRunId --type Keyword .*?)"/;
    await until('line about attributes', () => command.test(printed()), printed);
    await paste(command.exec(printed())![1]!);
    await until('ready file', () => existsSync(readyFile), printed);
    worker.kill('SIGTERM');
    await ended;
  } finally {
    worker.kill('SIGKILL');
    await bare.teardown();
  }
});
