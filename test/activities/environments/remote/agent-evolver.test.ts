// Not in the pure tier: starts and kills servers.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import getPort from 'get-port';
import { defineAgentEvolverEnvironment } from '../../../../activities/environments/api.js';
import { checkEnvironment } from '../../../../activities/environments/conformance/check-environment.js';
import { ModuleEnvironment } from '../../../../activities/environments/module-environment.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { AgentEvolver } from '../../../../activities/environments/remote/agent-evolver.js';
import { RestoringEnvironment } from '../../../../activities/environments/restoring-environment.js';
import type { Environment } from '../../../../activities/environments/environment.js';
import { parseCalls } from '../../../../activities/rollout/tool-calls.js';
import type { Observation } from '../../../../schemas/environment-protocol.js';

interface Server {
  readonly url: string;
  readonly port: number;
  kill(): Promise<void>;
}

const running = new Set<Server>();
after(() => Promise.all([...running].map((server) => server.kill())));

/** The service in a process of its own. */
async function startService({ port, lose = 0 }: { port?: number; lose?: number } = {}): Promise<Server> {
  const chosen = port ?? (await getPort());
  const child = spawn(
    process.execPath,
    ['dist/test/activities/environments/remote/agent-evolver-server.js', String(chosen), String(lose)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(child.stdout, 'data');
  const server: Server = {
    url: `http://127.0.0.1:${chosen}`,
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

const counts = async ({ url }: Server) =>
  (await fetch(`${url}/counts`)).json() as Promise<{ instances: number; steps: number }>;

type Spec = Parameters<typeof defineAgentEvolverEnvironment>[0];
const meetingRoom = new ModuleEnvironment('./meeting-room.ts', ['examples']);
const open = (url: string, more: Partial<Spec> = {}) =>
  openDefinition(
    defineAgentEvolverEnvironment({
      name: 'rooms',
      url,
      envType: 'meeting-room',
      splits: { train: 'train', heldout: 'val' },
      turns: 4,
      format: 'call-lines',
      sparse: false,
      score: (data) => (data as { accuracy: number }).accuracy,
      ...more,
    }),
    { folder: '.', file: (relative) => relative },
  );

/** A whole solved episode. */
async function solve(environment: Environment, taskId: string) {
  const observations: Observation[] = [await environment.reset({ episodeId: 'e', taskId, seed: 0 })];
  for (const content of (await meetingRoom.solution(taskId))!) {
    observations.push(
      await environment.step({
        episodeId: 'e',
        stepIndex: observations.length,
        action: { content, calls: parseCalls(content, 'call-lines') },
      }),
    );
  }
  const verdict = await environment.evaluate('e');
  await environment.close('e');
  return { observations, verdict };
}

test('an env_service keeps every promise of the interface, and no instance is left', async () => {
  let server = await startService();
  const connect = () => Object.assign(open(server.url), { solution: (taskId: string) => meetingRoom.solution(taskId) });
  let environment = connect();
  const crash = async () => {
    await server.kill();
    server = await startService({ port: server.port });
    environment = connect();
  };
  const findings = await checkEnvironment(
    { open: () => environment, crash },
    { leakEpisodes: 500, maxLeakMs: 20_000, tasks: 3, maxStepMs: 5_000 },
  );
  assert.deepEqual(
    findings.filter(({ holds }) => holds !== true),
    [],
  );
  assert.equal((await counts(server)).instances, 0);
});

test('a /step whose reply was lost is not asked again: a new instance replays the episode to the same bytes', async () => {
  const [task] = (await meetingRoom.listTasks('train')).filter(({ turns }) => turns >= 2);
  const undisturbed = await solve(new RestoringEnvironment(open((await startService()).url)), task!.id);
  assert.equal(undisturbed.verdict.success, true);
  const losing = await startService({ lose: 2 });
  assert.deepEqual(await solve(new RestoringEnvironment(open(losing.url)), task!.id), undisturbed);
  // Played until the second step, then all of it once more: repeated in the same instance, that step would have booked twice.
  assert.deepEqual(await counts(losing), { instances: 0, steps: undisturbed.observations.length - 1 + 2 });
});

test('kill -9 of the service during an episode, and a restart, change nothing', async () => {
  const [task] = (await meetingRoom.listTasks('train')).filter(({ turns }) => turns >= 2);
  let server = await startService();
  const environment = new RestoringEnvironment(open(server.url));
  const undisturbed = await solve(environment, task!.id);
  const restarting = Object.create(environment, {
    step: {
      value: async (request: Parameters<Environment['step']>[0]) => {
        await server.kill();
        const { port } = server;
        setTimeout(() => void startService({ port }).then((started) => (server = started)), 200);
        return environment.step(request);
      },
    },
  }) as Environment;
  assert.deepEqual(await solve(restarting, task!.id), undisturbed);
});

test('faults are thrown with the service’s words, never scored and never an observation', async () => {
  const server = await startService();
  await assert.rejects(open(server.url, { splits: { train: 'training', heldout: 'val' } }).listTasks('train'), {
    name: 'EnvironmentUnavailable',
    message: /get_env_profile answered 500: KeyError: 'training'$/,
  });
  await assert.rejects(open(server.url).reset({ episodeId: 'e', taskId: 'nope', seed: 0 }), {
    name: 'EnvironmentUnavailable',
    message: /create answered 500/,
  });
  await assert.rejects(
    async () => solve(open(server.url, { score: () => 1.5 }), (await meetingRoom.listTasks('train'))[0]!.id),
    { code: 'environment_fault', message: /evaluate: score gave the number 1.5, expected a score from 0 to 1/ },
  );
  assert.throws(() => open('127.0.0.1'), {
    name: 'BadConfig',
    message: /url is the text "127\.0\.0\.1", expected an address/,
  });
  const episode = await new AgentEvolver({
    name: 'rooms',
    url: server.url,
    envType: 'x',
    splits: { train: 'train', heldout: 'val' },
    turns: 1,
  }).open('rooms-0');
  for (let done = false; !done; ) ({ done } = await episode.step({ content: 'nothing', calls: [] }));
  await assert.rejects(episode.step({ content: 'more', calls: [] }), {
    code: 'environment_fault',
    message: /was answered with "\[ERROR\] the conversation is over"/,
  });
  await server.kill();
  await assert.rejects(open(server.url).listTasks('train'), {
    name: 'EnvironmentUnavailable',
    message: /rooms at http:.*get_env_profile cannot be reached \(ECONNREFUSED\): is the service running\?/,
  });
});
