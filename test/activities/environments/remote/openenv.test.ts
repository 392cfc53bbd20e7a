// Needs of set-up: openenv
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import getPort from 'get-port';
import { defineOpenEnvEnvironment, ToolError, z } from '../../../../activities/environments/api.js';
import { checkEnvironment } from '../../../../activities/environments/conformance/check-environment.js';
import type { Environment } from '../../../../activities/environments/environment.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { RestoringEnvironment } from '../../../../activities/environments/restoring-environment.js';
import { parseCalls } from '../../../../activities/rollout/tool-calls.js';
import type { Observation } from '../../../../schemas/environment-protocol.js';
import { setUp } from '../../../../scripts/setup/index.js';
import { openenvPython } from '../../../../scripts/setup/paths.js';

interface Server {
  readonly url: string;
  readonly port: number;
  kill(): Promise<void>;
}

const running = new Set<Server>();
before(() => setUp(['openenv']));
after(() => Promise.all([...running].map((server) => server.kill())));

/** OpenEnv's own server, in a process of its own. */
async function startServer({ port, sessions = 100 }: { port?: number; sessions?: number } = {}): Promise<Server> {
  const chosen = port ?? (await getPort());
  const child = spawn(
    openenvPython,
    ['test/activities/environments/remote/openenv_server.py', String(chosen), String(sessions)],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const url = `http://127.0.0.1:${chosen}`;
  while (
    child.exitCode === null &&
    !(await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    ))
  )
    await sleep(100);
  assert.equal(child.exitCode, null, 'the server ended; its error output is above');
  const server: Server = {
    url,
    port: chosen,
    async kill() {
      running.delete(server);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
  running.add(server);
  return server;
}

const guess = (url: string) =>
  openDefinition(
    defineOpenEnvEnvironment({
      name: 'guess',
      url,
      task: z.object({ goal: z.int() }),
      tasks: [
        { id: 'low', split: 'train', goal: 7 },
        { id: 'high', split: 'heldout', goal: 900 },
      ],
      turns: 4,
      reset: ({ goal }, seed) => ({ seed, goal }),
      prompt: (_, { observation }) => `Tools:\nguess(number)\nGuess ${String(observation['hint'])}.`,
      action({ calls: [call] }) {
        if (!call || 'malformed' in call || call.name !== 'guess') throw new ToolError('write CALL guess(number)');
        return { number: call.positional[0] ?? null };
      },
      observe: ({ observation }) => String(observation['hint']),
    }),
    { folder: '.', file: (relative) => relative },
  );

const act = (content: string) => ({ content, calls: parseCalls(content, 'call-lines') });
const SOLUTION: Readonly<Record<string, readonly string[]>> = {
  low: ['CALL guess(5)', 'CALL guess(7)'],
  high: ['CALL guess(500)', 'CALL guess(950)', 'CALL guess(900)'],
};

async function play(
  environment: Environment,
  script: readonly string[],
  before: (step: number) => Promise<void> = async () => {},
) {
  const observations: Observation[] = [await environment.reset({ episodeId: 'e', taskId: 'low', seed: 3 })];
  for (const [index, content] of script.entries()) {
    await before(index);
    observations.push(await environment.step({ episodeId: 'e', stepIndex: index + 1, action: act(content) }));
  }
  await before(script.length);
  const verdict = await environment.evaluate('e');
  await environment.close('e');
  return { said: observations.map(({ messages }) => messages.at(-1)!.content), observations, verdict };
}

test('an OpenEnv server keeps every promise of the interface', async () => {
  let server = await startServer();
  const connect = () => Object.assign(guess(server.url), { solution: async (taskId: string) => SOLUTION[taskId]! });
  let environment = connect();
  const crash = async () => {
    await server.kill();
    server = await startServer({ port: server.port });
    environment = connect();
  };
  const findings = await checkEnvironment(
    { open: () => environment, crash },
    { leakEpisodes: 500, maxLeakMs: 20_000, tasks: 2, maxStepMs: 5_000 },
  );
  assert.deepEqual(
    findings.filter(({ holds }) => holds !== true),
    [],
  );
});

test('kill -9 of the server before the first step and before the verdict changes nothing: a new session plays the actions again', async () => {
  let server = await startServer();
  const script = ['CALL guess(2)', 'I give up.', 'CALL guess(8)'];
  const undisturbed = await play(guess(server.url), script);
  assert.deepEqual(undisturbed.said.slice(1), ['guess 1: higher', 'Error: write CALL guess(number)', 'guess 2: lower']);
  assert.deepEqual(undisturbed.verdict, { score: 0, success: false, turnsPassed: [false, false, false] });
  const restart = async (step: number) => {
    if (step === 1 || step === 2) return;
    await server.kill();
    server = await startServer({ port: server.port });
  };
  assert.deepEqual(await play(new RestoringEnvironment(guess(server.url)), script, restart), undisturbed);
});

test('an action that is not of the server’s form is not executed, and the model reads why; an exception of the environment is never an observation', async () => {
  const server = await startServer();
  const { said, verdict } = await play(guess(server.url), ['CALL guess(1000)', "CALL guess('x')", 'CALL guess(7)']);
  assert.match(said[1]!, /^Error: number: Input should be less than or equal to 999$/);
  assert.match(said[2]!, /^Error: number: Input should be a valid integer/);
  assert.equal(said[3], 'right'); // the first that was executed
  assert.equal(verdict.score, 1);
  await assert.rejects(play(guess(server.url), ['CALL guess(666)']), {
    code: 'environment_fault',
    message:
      /guess at ws:.*\/ws, step: EXECUTION_ERROR: the dice fell off the table .*turn 1\)\. A second try, in a fresh environment, failed as well/,
  });
});

test('a server without room and one that is away are named, with what to do', async () => {
  const server = await startServer({ sessions: 1 });
  const environment = guess(server.url);
  await environment.reset({ episodeId: 'a', taskId: 'low', seed: 0 });
  await assert.rejects(environment.reset({ episodeId: 'b', taskId: 'low', seed: 0 }), {
    name: 'EnvironmentUnavailable',
    message:
      /no room for another session .*max_concurrent_envs of at least rollout\.tasksPerShard x rollout\.groupSize/,
  });
  await server.kill();
  await assert.rejects(guess(server.url).reset({ episodeId: 'c', taskId: 'low', seed: 0 }), {
    name: 'EnvironmentUnavailable',
    message: /cannot be reached \(.*ECONNREFUSED.*\): is the OpenEnv server running\?/,
  });
  assert.throws(() => guess('localhost'), {
    name: 'BadConfig',
    message: /url is the text "localhost", expected an address/,
  });
});
