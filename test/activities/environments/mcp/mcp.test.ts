// Not in the pure tier: starts the reference servers of MCP many times.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import getPort from 'get-port';
import { defineMcpEnvironment, z } from '../../../../activities/environments/api.js';
import { checkEnvironment, type Finding } from '../../../../activities/environments/conformance/check-environment.js';
import type { RestorableEnvironment } from '../../../../activities/environments/environment.js';
import type { InProcessEnvironment } from '../../../../activities/environments/in-process-environment.js';
import { ModuleEnvironment } from '../../../../activities/environments/module-environment.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { RestoringEnvironment } from '../../../../activities/environments/restoring-environment.js';
import { parseCalls } from '../../../../activities/rollout/tool-calls.js';
import type { Action, Observation } from '../../../../schemas/environment-protocol.js';

const MODULES = path.resolve('node_modules/@modelcontextprotocol');
const HERE = { folder: '.', file: (relative: string) => relative };
const act = (content: string): Action => ({ content, calls: parseCalls(content, 'call-lines') });
const QUICK = { leakEpisodes: 0, maxLeakMs: 0, tasks: 1, maxStepMs: 5_000 };
/** All but the leak check, which would start a server for each of its episodes. */
const notHeld = (findings: readonly Finding[]) =>
  findings.filter(({ holds, check }) => holds !== true && !check.startsWith('leaks'));

/** Of a process, by what their command lines contain. */
async function children(containing: string, parent = process.pid): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [status, command] = await Promise.all([
      readFile(`/proc/${pid}/status`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]).catch(() => ['', '']);
    if (status.includes(`PPid:\t${parent}\n`) && command.includes(containing)) found.push(Number(pid));
  }
  return found;
}

const addressBook = () => new ModuleEnvironment('./address-book.ts', ['examples']);

test('a reference server over stdio, one process for each episode, keeps every promise of the interface, and leaves no process behind', async () => {
  let environment = addressBook();
  const crash = async () => {
    await environment.end();
    environment = addressBook();
  };
  assert.deepEqual(notHeld(await checkEnvironment({ open: () => environment, crash }, QUICK)), []);
  await environment.end();
  assert.deepEqual(await children('server-memory'), []);
});

/** Plays a script, with something done before each step and before the verdict. */
async function play(
  environment: RestorableEnvironment | RestoringEnvironment,
  taskId: string,
  script: readonly string[],
  before: (step: number) => Promise<void> = async () => {},
) {
  const observations: Observation[] = [await environment.reset({ episodeId: 'e', taskId, seed: 1 })];
  for (const [index, content] of script.entries()) {
    await before(index);
    observations.push(await environment.step({ episodeId: 'e', stepIndex: index + 1, action: act(content) }));
  }
  await before(script.length);
  const verdict = await environment.evaluate('e');
  await environment.close('e');
  return { observations, verdict };
}

test('kill -9 of the server before every step and before the verdict changes no byte: a fresh server replays the episode', async () => {
  const script = ["CALL search_nodes('Leslie')\nCALL delete_entities(['Alan'])", "CALL delete_entities(['Donald'])"];
  const undisturbed = await play(addressBook(), 'book-0', script);
  assert.deepEqual(undisturbed.verdict, { score: 0.5, success: false, turnsPassed: [true, false] }); // Alan should have stayed
  let killed = 0;
  const disturbed = await play(new RestoringEnvironment(addressBook()), 'book-0', script, async () => {
    for (const pid of await children('server-memory')) {
      process.kill(pid, 'SIGKILL');
      killed++;
    }
  });
  assert.equal(killed, 3);
  assert.deepEqual(disturbed, undisturbed);
});

test('a worker that is killed leaves no server behind', async () => {
  const program = `
    import { ModuleEnvironment } from './dist/activities/environments/module-environment.js';
    const environment = new ModuleEnvironment('./address-book.ts', ['examples']);
    await environment.reset({ episodeId: 'e', taskId: 'book-0', seed: 1 });
    console.log('started');
    setInterval(() => {}, 1000);`;
  const worker = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(worker.stdout, 'data');
  const [server, ...others] = await children('server-memory', worker.pid);
  assert.ok(server !== undefined && others.length === 0);
  worker.kill('SIGKILL');
  for (const began = performance.now(); existsSync(`/proc/${server}`); await sleep(50))
    assert.ok(performance.now() - began < 20_000, 'the server lives on');
});

/** The reference server "everything", by streamable HTTP. */
async function startEverything(port: number) {
  const child = spawn(process.execPath, [`${MODULES}/server-everything/dist/index.js`, 'streamableHttp'], {
    env: { ...process.env, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  for await (const text of child.stderr.setEncoding('utf8')) if (String(text).includes('listening')) break;
  return async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
}

const stops: (() => Promise<void>)[] = [];
after(() => Promise.all(stops.map((stop) => stop())));

test('a reference server over streamable HTTP, one session for each episode, keeps every promise; killed and restarted, episodes go on', async () => {
  const port = await getPort();
  let stop = await startEverything(port);
  stops.push(() => stop());
  const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-everything-'));
  await copyFile('test/activities/environments/mcp/everything.ts', path.join(folder, 'everything.ts'));
  await writeFile(
    path.join(folder, 'tasks.jsonl'),
    JSON.stringify({ id: 'sum', split: 'train', url: `http://127.0.0.1:${port}/mcp`, a: 2, b: 40 }),
  );
  const open = () => new ModuleEnvironment('./everything.ts', [folder]);
  const restart = async () => {
    await stop();
    stop = await startEverything(port);
  };
  const environment = open();
  let current = environment;
  const crash = async () => {
    await restart();
    current = open();
  };
  assert.deepEqual(notHeld(await checkEnvironment({ open: () => current, crash }, QUICK)), []);

  const script = [
    'CALL toggle_simulated_logging()',
    'CALL get_sum(2, 40)\nCALL get_tiny_image()',
    'CALL toggle_simulated_logging()',
  ];
  const undisturbed = await play(open(), 'sum', script);
  assert.equal(undisturbed.verdict.score, 1);
  assert.match(
    undisturbed.observations[2]!.messages[0]!.content,
    /^Result: The sum of 2 and 40 is 42\.\nResult: .*\n\[image image\/png\]/,
  );
  assert.match(
    undisturbed.observations[3]!.messages[0]!.content,
    /^Result: Stopped simulated logging for this session/,
  ); // the session had state
  assert.deepEqual(await play(new RestoringEnvironment(open()), 'sum', script, restart), undisturbed);
});

const onServer = (
  server: Parameters<typeof defineMcpEnvironment>[0]['server'],
  tools?: string[],
): InProcessEnvironment =>
  openDefinition(
    defineMcpEnvironment({
      name: 'broken',
      task: z.object({ n: z.number() }),
      tasks: [{ id: 'a', split: 'train', n: 1 }],
      turns: 1,
      server,
      prompt: () => 'Hello.',
      verify: () => 0,
      ...(tools ? { tools } : {}),
    }),
    HERE,
  );
const start = (environment: InProcessEnvironment) => environment.reset({ episodeId: 'e', taskId: 'a', seed: 0 });
const memory = ({ folder }: { folder: string }) => ({
  command: process.execPath,
  args: [`${MODULES}/server-memory/dist/index.js`],
  env: { MEMORY_FILE_PATH: `${folder}/m.jsonl` },
});

test('a server that does not come up is named, with what it said', async () => {
  await assert.rejects(start(onServer({ command: 'no-such-server' })), {
    name: 'EnvironmentUnavailable',
    message: /broken: the MCP server `no-such-server` could not be started: .*ENOENT/,
  });
  const dies = { command: process.execPath, args: ['-e', 'console.error("no licence found"); process.exit(3)'] };
  await assert.rejects(start(onServer(dies)), {
    name: 'EnvironmentUnavailable',
    message: /could not be started: .*it said: no licence found/s,
  });
  const closed = await getPort();
  await assert.rejects(start(onServer({ url: `http://127.0.0.1:${closed}/mcp` })), {
    name: 'EnvironmentUnavailable',
    message: new RegExp(`at http://127.0.0.1:${closed}/mcp could not be started: .*ECONNREFUSED`),
  });
});

test('a tool that the server does not have is refused with the names that it has', async () => {
  await assert.rejects(start(onServer(memory, ['search_nodes', 'find'])), {
    name: 'BadConfig',
    message: /has no "find", it has create_entities, .*search_nodes/,
  });
  assert.throws(() => onServer({ url: 'localhost:3001' }), {
    name: 'BadConfig',
    message: /server\.url: is "localhost:3001", expected an address such as/,
  });
});

test('what the server refuses is an observation: the model reads why', async () => {
  const environment = onServer(memory);
  await start(environment);
  const { messages } = await environment.step({
    episodeId: 'e',
    stepIndex: 1,
    action: act('CALL search_nodes(5)\nCALL search_nodes()\nCALL search_nodes("a", "b")'),
  });
  await environment.end();
  const [wrongType, missing, tooMany] = messages[0]!.content.split(/^Result: /m).slice(1);
  assert.match(wrongType!, /^Error: .*expected string/s);
  assert.match(missing!, /^Error: .*expected string/s);
  assert.match(tooMany!, /^Error: search_nodes: takes 1 argument\(s\), 2 were given/);
});
