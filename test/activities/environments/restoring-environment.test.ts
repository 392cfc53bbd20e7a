import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import type { Action, Observation, Verdict } from '../../../schemas/environment-protocol.js';
import { EnvService } from '../../../activities/environments/env-service.js';
import { EnvironmentProtocolError, EpisodeLost } from '../../../activities/environments/environment.js';
import { createEnvironments } from '../../../activities/environments/registry.js';
import { RestoringEnvironment } from '../../../activities/environments/restoring-environment.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import { startSidecar } from './sidecar-process.js';

const act = (content: string): Action => ({ content, calls: parseCalls(content, 'call-lines') });
const RIGHT = [
  act("CALL touch('Notes2023.txt')"),
  act("CALL echo('Study diligently, practice programming, master algorithms.', 'Notes2023.txt')"),
];

test('kill -9 of the sidecar before any step and before the verdict changes nothing', async () => {
  let sidecar = await startSidecar();
  const waits: number[] = [];
  const environment = new RestoringEnvironment(new EnvService({ name: 'bfcl-windows', url: sidecar.url }), {
    onWait: ({ waitedMs }) => waits.push(waitedMs),
  });

  /** Plays 42:0; `disturb` runs before each call after the reset. */
  const played = async (
    episodeId: string,
    disturb: () => Promise<void>,
  ): Promise<{ observations: Observation[]; verdict: Verdict }> => {
    const observations = [await environment.reset({ episodeId, taskId: '42:0', seed: 0 })];
    for (const [index, action] of RIGHT.entries()) {
      await disturb();
      observations.push(await environment.step({ episodeId, stepIndex: index + 1, action }));
    }
    await disturb();
    return { observations, verdict: await environment.evaluate(episodeId) };
  };
  try {
    const undisturbed = await played('calm', async () => {});
    let restarted = Promise.resolve();
    const disturbed = await played('storm', async () => {
      await restarted;
      const { port } = sidecar;
      await sidecar.kill();
      restarted = startSidecar({ port }).then((next) => void (sidecar = next)); // while the call waits
    });
    await restarted;
    assert.deepEqual(disturbed, undisturbed);
    assert.equal(undisturbed.verdict.score, 1);
    assert.ok(waits.length >= 3, 'each call had to wait for the restart');
  } finally {
    await sidecar.kill();
  }
});

describe('with a live sidecar', () => {
  const withSidecar = async (use: (url: string) => Promise<void>): Promise<void> => {
    const sidecar = await startSidecar();
    try {
      await use(sidecar.url);
    } finally {
      await sidecar.kill();
    }
  };

  test('a restore whose observation differs names the first differing index', () =>
    withSidecar(async (url) => {
      const service = new EnvService({ name: 'bfcl-windows', url });
      const start = { episodeId: 'e', taskId: '42:0', seed: 0 };
      const hashes = [
        (await service.reset(start)).hash,
        (await service.step({ episodeId: 'e', stepIndex: 1, action: RIGHT[0]! })).hash,
      ];
      await service.close('e');
      const restored = await service.restore({ ...start, actions: [RIGHT[0]!], observationHashes: hashes });
      assert.equal(restored.hash, hashes[1]);
      await assert.rejects(
        service.restore({ ...start, actions: [RIGHT[0]!], observationHashes: [hashes[0]!, '0'.repeat(64)] }),
        (error) =>
          error instanceof EnvironmentProtocolError &&
          error.code === 'restore_mismatch' &&
          /replayed observation 1 /.test(error.message),
      );
      // The live episode is untouched by the failed restore.
      assert.equal((await service.step({ episodeId: 'e', stepIndex: 2, action: RIGHT[1]! })).done, true);
    }));

  test('what an earlier attempt left under the same id does not disturb the next one', () =>
    withSidecar(async (url) => {
      const attempt = (): RestoringEnvironment =>
        new RestoringEnvironment(new EnvService({ name: 'bfcl-windows', url }));
      const [earlier, later] = [attempt(), attempt()];
      const start = { episodeId: 'e', taskId: '42:0', seed: 0 };
      await earlier.reset(start);
      await earlier.step({ episodeId: 'e', stepIndex: 1, action: act('CALL nope()') });
      await later.reset(start);
      await later.step({ episodeId: 'e', stepIndex: 1, action: RIGHT[0]! });
      // The earlier attempt wakes up as a zombie, closes and plays on under the same id.
      await earlier.close('e');
      await earlier.reset(start);
      await earlier.step({ episodeId: 'e', stepIndex: 1, action: act('CALL ls()') });
      await later.step({ episodeId: 'e', stepIndex: 2, action: RIGHT[1]! });
      assert.equal((await later.evaluate('e')).score, 1);
    }));

  test('a lost episode that was not started here stays lost', () =>
    withSidecar(async (url) => {
      const environment = createEnvironments({ bfclUrl: url })('bfcl-windows');
      await assert.rejects(environment.step({ episodeId: 'other', stepIndex: 1, action: RIGHT[0]! }), EpisodeLost);
    }));
});

test('an environment that stays down is unavailable after the wait, and the message says where and why', async () => {
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const bfclUrl = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`;
  await new Promise((resolve) => gone.close(resolve));
  await assert.rejects(createEnvironments({ bfclUrl })('bfcl-windows', { maxWaitMs: 300 }).listTasks('train'), {
    name: 'EnvironmentUnavailable',
    message: new RegExp(
      `bfcl-windows at ${bfclUrl}/list-tasks cannot be reached \\(ECONNREFUSED\\): .*gave up after 0\\.\\d s`,
    ),
  });
});

test('a hanging reply is unavailable, a reply of another form is a protocol error, 5xx is unavailable', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/reset') return; // never answers
    response.statusCode = request.url === '/evaluate' ? 503 : 200;
    response.end('{"tasks":[{"id":8}]}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const service = new EnvService({
    name: 'odd',
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    timeoutMs: 200,
  });
  try {
    await assert.rejects(service.reset({ episodeId: 'e', taskId: 't', seed: 0 }), {
      name: 'EnvironmentUnavailable',
      message: /did not answer within 200 ms/,
    });
    await assert.rejects(service.listTasks('train'), {
      name: 'EnvironmentProtocolError',
      message: /in another form than expected/,
    });
    await assert.rejects(service.evaluate('e'), { name: 'EnvironmentUnavailable', message: /answered 503/ });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('an unknown environment is refused with the known names, a known one without an address with the variable', () => {
  assert.throws(() => createEnvironments({})('toString'), {
    name: 'UnknownEnvironment',
    message: /"toString" is unknown, expected one of: bfcl-windows/,
  });
  assert.throws(() => createEnvironments({})('bfcl-windows'), {
    name: 'UnknownEnvironment',
    message: /SEEUPO_BFCL_URL/,
  });
});
