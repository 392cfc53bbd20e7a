import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { execa } from 'execa';
import { createS3Store } from '../../activities/artifacts/s3-store.js';
import { keys } from '../../activities/artifacts/store.js';
import { readEvidence } from '../../scripts/chaos/evidence.js';
import { startServices } from '../../scripts/services.js';
import { repositoryRoot, runtimeDir } from '../../scripts/setup/paths.js';
import { Ownership } from '../../schemas/ownership.js';
import { tinyRun } from '../../scripts/chaos/tiny-run.js';
import { writeTinyChatModel } from '../../scripts/chaos/tiny-chat-model.js';

/*
 * `npm run quickstart` as a person types it, on a tiny model: stopped within an iteration; its Temporal database
 * deleted, its store not; typed again.
 */
const ELSEWHERE = '00000000-0000-4000-8000-000000000000';
const SET_UP = ['bin', 'stamps', 'tensorflow', 'tensorflow-binding', 'venvs'];
let runtime: string;
let config: string;
let child: ChildProcess | undefined;
before(async () => {
  runtime = await mkdtemp(path.join(runtimeDir, 'test-lost-'));
  await mkdir(path.join(runtime, 'models'));
  for (const part of SET_UP) await symlink(path.join(runtimeDir, part), path.join(runtime, part));
  for (const model of await readdir(path.join(runtimeDir, 'models')))
    await symlink(path.join(runtimeDir, 'models', model), path.join(runtime, 'models', model));
  await writeTinyChatModel(path.join(runtime, 'models'));
  config = path.join(runtime, 'tiny.json');
  // Enough iterations that the first is seen before the last is done.
  await writeFile(config, JSON.stringify({ ...tinyRun, iterations: 6 }));
});
after(async () => {
  child?.kill('SIGKILL');
  await rm(runtime, { recursive: true, force: true });
});

/** Types the command; `upon` is called with all that it has said, each time it says more. */
async function quickstart(
  upon: (said: string, process: ChildProcess) => void,
  ...options: string[]
): Promise<{ code: number | null; said: string }> {
  const environment = path.join(repositoryRoot, 'scripts/chaos/environments/letters.ts');
  const args = [
    '--enable-source-maps',
    path.join(repositoryRoot, 'dist/scripts/quickstart.js'),
    '--config',
    config,
    '--environment',
    environment,
    ...options,
  ];
  const started = (child = spawn(process.execPath, args, {
    cwd: repositoryRoot,
    env: { ...process.env, SEEUPO_RUNTIME_DIR: runtime },
    stdio: ['ignore', 'pipe', 'pipe'],
  }));
  let said = '';
  for (const stream of [started.stdout, started.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      upon(said, started);
    });
  }
  const [code] = (await once(started, 'close')) as [number | null];
  return { code, said };
}

/** What the run has left. */
const left = () =>
  inStore(async (store) => ({
    owner: (await store.findRecord(keys.ownership('quickstart'), Ownership))!.record,
    evidence: await readEvidence(store, 'quickstart'),
  }));

/** What lies in the store of the folder; its server is started for as long as it is looked at. */
async function inStore<R>(look: (store: ReturnType<typeof createS3Store>) => Promise<R>): Promise<R> {
  const services = await startServices({ dataDir: runtime, only: ['s3'] });
  const env = services.env();
  const store = createS3Store({
    endpoint: env['SEEUPO_S3_ENDPOINT']!,
    bucket: env['SEEUPO_S3_BUCKET']!,
    region: env['SEEUPO_S3_REGION']!,
    forcePathStyle: true,
    credentials: services.keys,
  });
  try {
    return await look(store);
  } finally {
    store.close();
    await services.stop();
  }
}

test('stopped within an iteration, its Temporal database deleted: the same command goes on, keeps what was committed, and completes', async () => {
  let asked = false; // a second Ctrl-C would not wait
  const stopped = await quickstart((said, process) => {
    if (asked || !/iteration 1\/6 done|iteration [2-6]\/6/.test(said)) return;
    asked = process.kill('SIGINT');
  });
  assert.equal(stopped.code, 130, stopped.said);
  const { owner: before, evidence: committed } = await left();
  assert.ok(before.holder, 'the execution holds the run still');
  assert.ok(
    'iterations/0000/checkpoint.json' in committed.fingerprint &&
      !('iterations/0005/checkpoint.json' in committed.fingerprint),
  );

  await rm(path.join(runtime, 'temporal'), { recursive: true });
  const { code, said } = await quickstart(() => {});
  assert.equal(code, 0, said);
  assert.match(said, /the Temporal database that knew the execution of run "quickstart" is gone/);
  const { owner, evidence } = await left();
  assert.deepEqual([owner.holder, owner.generation], [null, before.generation + 1]);
  const kept = Object.keys(committed.fingerprint);
  assert.deepEqual(
    kept.map((key) => evidence.fingerprint[key]),
    kept.map((key) => committed.fingerprint[key]),
  );
  assert.deepEqual([evidence.broken, evidence.optimizerSteps], [[], { applied: 36, planned: 36 }]); // 6 iterations of 3 turns of 2 minibatches
});

test('a run that a server elsewhere holds is refused before it is started, and goes on with the option that the message names', async () => {
  await inStore(async (store) => {
    const { record, version } = (await store.findRecord(keys.ownership('quickstart'), Ownership))!;
    const holder = { namespace: 'default', workflowId: 'quickstart', firstRunId: ELSEWHERE };
    assert.ok(
      await store.replaceRecord(
        keys.ownership('quickstart'),
        { ...record, holder, host: 'elsewhere' },
        Ownership,
        version,
      ),
    );
  });
  await rm(path.join(runtime, 'temporal'), { recursive: true });
  const refused = await quickstart(() => {});
  assert.equal(refused.code, 1, refused.said);
  assert.match(
    refused.said,
    new RegExp(
      `held by workflow "quickstart", execution ${ELSEWHERE}.* of elsewhere.*npm run quickstart -- --take-over`,
    ),
  );
  const { code, said } = await quickstart(() => {}, '--take-over');
  assert.equal(code, 0, said);
  assert.match(said, new RegExp(`taken over from workflow "quickstart", execution ${ELSEWHERE}`));
});

test('the run as it was put together verifies, the log-prob of every sampled token taken again under the weights that sampled it', async () => {
  const script = path.join(repositoryRoot, 'dist/scripts/verify-run.js');
  const { stdout } = await execa(process.execPath, [script, 'quickstart', '--json'], {
    cwd: repositoryRoot,
    env: { SEEUPO_RUNTIME_DIR: runtime },
  });
  const { iterations, episodes, tokens, largestGap } = JSON.parse(stdout) as {
    iterations: number;
    episodes: number;
    tokens: number;
    largestGap: number;
  };
  assert.deepEqual([iterations, episodes], [6, 72]); // 4 tasks, 3 samples, 6 iterations
  assert.ok(tokens >= 72 * 3 && largestGap > 0, `${tokens} tokens, gap ${largestGap}`);
});
