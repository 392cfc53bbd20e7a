// Needs of set-up: appworld
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { EnvironmentProtocolError, type Environment } from '../../../activities/environments/environment.js';
import { sidecarEnvironment } from '../../../activities/environments/registry.js';
import { RestoringEnvironment } from '../../../activities/environments/restoring-environment.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import type { Observation } from '../../../schemas/environment-protocol.js';
import { sidecarCommand } from '../../../scripts/services/sidecar-command.js';
import { startSidecarProcess, type SidecarProcess } from '../../../scripts/services/sidecar-process.js';
import { setUp } from '../../../scripts/setup/index.js';
import { block, SOLUTIONS } from './appworld-scripts.js';

const WORLDS = 3;
const LIMITS = ['--worlds', String(WORLDS), '--max-seconds', '1', '--world-memory', '900'];
const [TASK, OTHER_TASK] = ['5ee0001_1', '5ee0001_2'] as const;

/** The real engine, on the small world. */
let sidecar: SidecarProcess;
let environment: Environment;
before(async () => {
  await setUp(['appworld']);
  process.env['SEEUPO_TEST_SECRET'] = 'not for a model';
  sidecar = await startSidecarProcess('appworld', 0, LIMITS);
  environment = sidecarEnvironment('appworld', sidecar.url);
});
after(() => sidecar?.kill());

const step = (of: Environment, episodeId: string, stepIndex: number, content: string): Promise<Observation> =>
  of.step({ episodeId, stepIndex, action: { content, calls: parseCalls(content, 'code-block') } });
const textOf = ({ messages: [message] }: Observation): string => message!.content;

async function play(of: Environment, episodeId: string, taskId: string, responses: readonly string[]) {
  const seen = [await of.reset({ episodeId, taskId, seed: 0 })];
  for (const [index, response] of responses.entries()) seen.push(await step(of, episodeId, index + 1, response));
  const verdict = await of.evaluate(episodeId);
  await of.close(episodeId);
  return { hashes: seen.map(({ hash }) => hash), last: seen.at(-1)!, texts: seen.slice(1).map(textOf), verdict };
}

/** Process ids of the sidecar's worlds. */
const worlds = (): number[] =>
  readFileSync(`/proc/${sidecar.pid}/task/${sidecar.pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
const lives = (pid: number): boolean => existsSync(`/proc/${pid}`);
const mebibytes = (pid: number, field: RegExp): number =>
  [...readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').matchAll(field)].reduce(
    (sum, [, kib]) => sum + Number(kib) / 1024,
    0,
  );

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; !holds(); await sleep(5)) assert.ok(Date.now() < deadline, what);
}

test('train and dev of the data are the two sides of the split, and options travel with every id', async () => {
  const listed = async (taskSet?: string) => {
    const one = sidecarEnvironment('appworld', sidecar.url, taskSet);
    return [await one.listTasks('train'), await one.listTasks('heldout')].map((tasks) => tasks.map(({ id }) => id));
  };
  assert.deepEqual(await listed(), [
    ['5ee0001_1', '5ee0001_2'],
    ['5ee0002_1', '5ee0002_2'],
  ]);
  assert.deepEqual((await listed('authors?prompt=authors&reward=shaped'))[1], [
    '5ee0002_1?prompt=authors&reward=shaped',
    '5ee0002_2?prompt=authors&reward=shaped',
  ]);
  await assert.rejects(listed('test_normal'), /dataset 'test_normal' is not in .*which has dev, train/);
  await assert.rejects(
    listed('authors?reward=none'),
    /option 'reward=none' is unknown, expected prompt=react\|authors, reward=dense\|sparse\|shaped/,
  );
});

test('the official evaluation is the verdict: solved, nothing done, and something else done', async () => {
  for (const [taskId, solution] of Object.entries(SOLUTIONS)) {
    const { verdict, last } = await play(environment, `solved/${taskId}`, taskId, solution);
    assert.deepEqual([verdict, last.done], [{ score: 1, success: true, turnsPassed: [true] }, true], taskId);
  }
  // Four tests, of which "no note was updated or removed" passes if nothing is done.
  const idle = async (reward: string) =>
    (await play(environment, `idle/${reward}`, `${TASK}?reward=${reward}`, ['I wait.'])).verdict.score;
  assert.deepEqual([await idle('dense'), await idle('sparse')], [1 / 4, 0]);
  assert.ok(Math.abs((await idle('shaped')) - 1 / 4 / 3) < 1e-12, '0.5 x 1/4, where success is 1.5');
  const [login, , complete] = SOLUTIONS[TASK]!;
  const wrong = block("apis.simple_note.create_note(access_token=token, title='Storm glass', content='Fill it.')");
  assert.deepEqual((await play(environment, 'wrong', TASK, [login!, wrong, complete!])).verdict, {
    score: 3 / 4,
    success: false,
    turnsPassed: [false],
  });
});

test('outputs come back as in the benchmark, and what is no code is told what was wrong', async () => {
  const { texts } = await play(environment, 'forms', TASK, [
    block('print(6 * 7)'),
    block('x = 1'),
    'Nothing.',
    '```js\nx\n```',
    'I think.\n```python\nprint(x + 1)',
    block('print(object())'),
  ]);
  assert.deepEqual([texts[0], texts[1]], ['Output:\n```\n42\n```\n\n', 'Output:\n```\nExecution successful.```\n\n']);
  assert.match(texts[2]!, /^Output:\n```\nNo code was executed: the response has no code block\. Write one/);
  assert.match(texts[3]!, /No code was executed: the code block is of language "js"/);
  assert.equal(texts[4], 'Output:\n```\n2\n```\n\n', 'a block that is not closed is run');
  assert.equal(texts[5], 'Output:\n```\n<object object at 0x0>\n```\n\n', 'addresses differ between processes');
  const authors = await play(environment, 'authors', `${TASK}?prompt=authors`, ['Nothing.', '```js\nx\n```']);
  assert.deepEqual(authors.texts, ['', '']);
});

test('two worlds of one task at once do not meet: one completes it, the other has not begun', async () => {
  const [login, add, complete] = SOLUTIONS[TASK]!;
  for (const episodeId of ['left', 'right']) {
    await environment.reset({ episodeId, taskId: TASK, seed: 0 });
    await step(environment, episodeId, 1, login!);
  }
  await step(environment, 'left', 2, add!);
  const count = block('print(len(apis.simple_note.search_notes(access_token=token)))');
  assert.deepEqual(
    [textOf(await step(environment, 'left', 3, count)), textOf(await step(environment, 'right', 2, count))],
    ['Output:\n```\n4\n```\n\n', 'Output:\n```\n3\n```\n\n'],
  );
  assert.equal((await step(environment, 'left', 4, complete!)).done, true);
  assert.equal((await step(environment, 'right', 3, count)).done, false);
  assert.deepEqual(
    [(await environment.evaluate('left')).score, (await environment.evaluate('right')).score],
    [1, 1 / 4],
  );
  for (const episodeId of ['left', 'right']) await environment.close(episodeId);
});

test('a program that runs away is cut and undone, and nobody else waits for it', async () => {
  const [login, add, complete] = SOLUTIONS[TASK]!;
  await environment.reset({ episodeId: 'runaway', taskId: TASK, seed: 0 });
  await environment.reset({ episodeId: 'bystander', taskId: OTHER_TASK, seed: 0 });
  await step(environment, 'runaway', 1, login!);
  await step(environment, 'bystander', 1, login!);
  const endless =
    "n = 0\nwhile True:\n    n += 1\n    try:\n        apis.simple_note.create_note(access_token=token, title=str(n), content='x')\n    except BaseException:\n        pass";
  let cut = false;
  const running = step(environment, 'runaway', 2, block(endless)).finally(() => {
    cut = true;
  });
  for (let index = 2; index < 5; index++) await step(environment, 'bystander', index, block('print(1)'));
  assert.equal(cut, false, 'the bystander was served meanwhile');
  assert.match(
    textOf(await running),
    /the code took more than 1 seconds or 900 MiB of memory\. What it did was undone\./,
  );
  const others: [string, RegExp][] = [
    ["rows = []\nwhile True:\n    rows.append('x' * 10_000_000)", /took more than 1 seconds or 900 MiB/],
    ["print(len('x' * 2_000_000_000))", /took more than 1 seconds or 900 MiB/],
    ["while True:\n    print('x' * 1_000_000)", /took more than 1 seconds or 900 MiB/],
    ['import os\nos.abort()', /SystemExit: the code ended the program it runs in/],
    ["print('y' * 2_000_000)", /^Output:\n```\ny{99000} \[cut: 1901001 more characters\]```\n\n$/],
  ];
  for (const [index, [code, said]] of others.entries())
    assert.match(textOf(await step(environment, 'runaway', index + 3, block(code))), said);
  await step(environment, 'runaway', 8, add!);
  assert.equal((await step(environment, 'runaway', 9, complete!)).done, true);
  assert.equal((await environment.evaluate('runaway')).score, 1, 'of the notes of the cut program none is left');
  for (const episodeId of ['runaway', 'bystander']) await environment.close(episodeId);
});

test('kill -9 of a world, idle or at work, changes no observation and no verdict', async () => {
  const busy = block('total = 0\nfor n in range(4_000_000):\n    total += n\nprint(total)');
  const [login, add, complete] = SOLUTIONS[TASK]!;
  const responses = [login!, busy, add!, complete!];
  const undisturbed = await play(environment, 'undisturbed', TASK, responses);
  await until(() => worlds().length === 0, 'the closed episode keeps a process');

  await environment.reset({ episodeId: 'killed', taskId: TASK, seed: 0 });
  const hashes: string[] = [undisturbed.hashes[0]!];
  const killed = new Set<number>();
  const alive = () => worlds().filter((pid) => !killed.has(pid));
  const kill = () => alive().forEach((pid) => killed.add(pid) && process.kill(pid, 'SIGKILL'));
  for (const [index, response] of responses.entries()) {
    kill();
    const answer = step(environment, 'killed', index + 1, response);
    if (response === busy) {
      await until(() => alive().length > 0, 'no world at work');
      await sleep(200);
      kill();
    }
    hashes.push((await answer).hash);
  }
  assert.deepEqual(hashes, undisturbed.hashes);
  assert.deepEqual(await environment.evaluate('killed'), undisturbed.verdict);
  assert.equal(killed.size, 4, 'idle before each response but the first, and at work');
  await environment.close('killed');
});

test('kill -9 of the sidecar in the middle of an episode changes nothing, and leaves no process and no file', async () => {
  const [login, add, complete] = SOLUTIONS[TASK]!;
  const undisturbed = await play(environment, 'whole', TASK, [login!, add!, complete!]);
  const restoring = new RestoringEnvironment(environment as never);
  const { hash } = await restoring.reset({ episodeId: 'torn', taskId: TASK, seed: 0 });
  const hashes = [hash, (await step(restoring, 'torn', 1, login!)).hash];
  const [orphan, scratch] = [
    worlds()[0]!,
    () => readdirSync(tmpdir()).filter((name) => name.startsWith(`seeupo-appworld-${killed}-`)),
  ];
  const killed = sidecar.pid;
  await sidecar.kill();
  await until(() => !lives(orphan), 'a world outlives its sidecar');
  assert.equal(scratch().length, 1);
  sidecar = await startSidecarProcess('appworld', Number(new URL(sidecar.url).port), LIMITS);
  assert.equal(scratch().length, 0);
  hashes.push((await step(restoring, 'torn', 2, add!)).hash, (await step(restoring, 'torn', 3, complete!)).hash);
  assert.deepEqual(hashes, undisturbed.hashes);
  assert.deepEqual(await restoring.evaluate('torn'), undisturbed.verdict);
  await restoring.close('torn');
});

test('more episodes than worlds: the same observations as alone, in bounded memory, each world open within seconds', async (t) => {
  const counting = (n: number): string[] => [
    block(`seen = [${n}]\nprint(seen)`),
    block('seen.append(len(seen))\nprint(seen)'),
    block('print(sum(seen))'),
  ];
  const alone = await Promise.all([0, 1].map((n) => play(environment, `alone/${n}`, TASK, counting(n))));
  let most = 0;
  const watched = new Map<number, number>();
  const watch = setInterval(() => {
    const pids = worlds();
    most = Math.max(most, pids.length);
    for (const pid of pids) {
      try {
        watched.set(pid, Math.max(watched.get(pid) ?? 0, mebibytes(pid, /^Private_\w+:\s+(\d+)/gm)));
      } catch {
        // It has ended meanwhile.
      }
    }
  }, 20);
  const episodes = 2 * WORLDS + 1;
  const began = performance.now();
  const played = await Promise.all(
    Array.from({ length: episodes }, (_, n) => play(environment, `many/${n}`, TASK, counting(n % 2))),
  );
  clearInterval(watch);
  for (const [n, one] of played.entries()) assert.deepEqual(one.hashes, alone[n % 2]!.hashes, `episode ${n}`);
  const [own, largest] = [mebibytes(sidecar.pid, /^Rss:\s+(\d+)/gm), Math.max(...watched.values())];
  const opening = performance.now();
  await environment.reset({ episodeId: 'opened', taskId: TASK, seed: 0 });
  await step(environment, 'opened', 1, block('print(1)'));
  const openMs = performance.now() - opening;
  await environment.close('opened');
  t.diagnostic(
    `${episodes} episodes on ${WORLDS} worlds in ${((opening - began) / 1000).toFixed(1)} s; the sidecar has ${own.toFixed(0)} MiB, a world at most ${largest.toFixed(0)} MiB of its own, and opens in ${openMs.toFixed(0)} ms`,
  );
  assert.ok(most <= WORLDS, `${most} worlds at once`);
  assert.ok(own < 400 && largest > 10 && largest < 200, `${own} and ${largest} MiB`);
  assert.ok(openMs < 5_000, `${openMs} ms`);
  await until(() => worlds().length === 0, 'a closed episode keeps a process');
});

test("the code sees no secret of the sidecar's environment, has no rights of root, reads neither the answers nor the machine's files, and starts no program", async () => {
  const { texts } = await play(environment, 'curious', TASK, [
    block("import os\nprint(os.getuid(), os.environ.get('SEEUPO_TEST_SECRET'), sorted(os.environ))"),
    // The engine's guard lets code read files by this name; what stops it is the kernel.
    block("import pathlib\nprint(pathlib.Path('data/tasks/5ee0001_1/ground_truth/answer.json').read_text())"),
    block("print(pathlib.Path('/proc/self/environ').read_text())"),
    block("print(pathlib.Path('/etc/passwd').read_text())"),
    block("print(os.posix_spawn('/usr/bin/true', ['true'], {}))"),
    block("print(pathlib.Path('experiments/outputs/sidecar/tasks/5ee0001_1/version/code.txt').read_text())"),
  ]);
  const uid = process.getuid!() === 0 ? 65534 : process.getuid!();
  assert.match(texts[0]!, new RegExp(`^Output:\n\`\`\`\n${uid} None \\['APPWORLD_CACHE', `));
  assert.doesNotMatch(texts[0]!, /SECRET/);
  for (const text of texts.slice(1, 5)) assert.match(text, /PermissionError: \[Errno 13\] Permission denied/);
  assert.equal(texts[5], 'Output:\n```\n0.1.3.post1\n```\n\n', 'what the engine wrote itself can be read');
});

test('where there is no data, the sidecar says how to get it', async () => {
  const { file, args, env } = sidecarCommand('appworld', 0, tmpdir());
  const run = (data: string) =>
    promisify(execFile)(file, [...args, '--data', data], { env: { ...process.env, ...env } }).then(
      () => '',
      ({ stderr }: { stderr: string }) => stderr,
    );
  assert.match(
    await run('/nowhere'),
    /^sidecar: no AppWorld data in \/nowhere\/data: download it once with `\S+appworld download data --root \/nowhere`, or name the folder/,
  );
  await assert.rejects(
    environment.reset({ episodeId: 'x', taskId: '82e2fac_1', seed: 0 }),
    (error: unknown) =>
      error instanceof EnvironmentProtocolError &&
      error.code === 'unknown_task' &&
      /it has e\.g\. 5ee0001_1/.test(error.message),
  );
});
