import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { defineAgentEvolverEnvironment, defineOpenEnvEnvironment, z } from '../../../../activities/environments/api.js';
import type { OnStepFailure } from '../../../../activities/environments/definition.js';
import { EnvService } from '../../../../activities/environments/env-service.js';
import type { RestorableEnvironment } from '../../../../activities/environments/environment.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { RestoringEnvironment } from '../../../../activities/environments/restoring-environment.js';
import { sha256 } from '../../../../activities/artifacts/canonical-json.js';

const HERE = { folder: '.', file: (relative: string) => relative };

/** An HTTP server for the time of a test. */
async function serving(listener: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Steps that say `fail` fail; the second step's answer. */
async function played(inner: RestorableEnvironment): Promise<string> {
  const environment = new RestoringEnvironment(inner, { maxWaitMs: 300 });
  await environment.reset({ episodeId: 'e', taskId: 'a', seed: 0 });
  await environment.step({ episodeId: 'e', stepIndex: 1, action: { content: 'well', calls: [] } });
  const { messages } = await environment.step({ episodeId: 'e', stepIndex: 2, action: { content: 'fail', calls: [] } });
  await environment.step({ episodeId: 'e', stepIndex: 3, action: { content: 'well', calls: [] } });
  await environment.close('e');
  return messages[0]!.content;
}

const faultSaying = (reason: RegExp) => ({
  code: 'environment_fault',
  message: new RegExp(
    `${reason.source}.*A second try, in a fresh environment, failed as well: .*onStepFailure: "refuse"`,
    's',
  ),
});

for (const [how, reason, told] of [
  ['hangs', /did not answer within 200 ms/, 'took longer than 0.2 s'],
  ['hangs up', /cannot be reached \(ECONNRESET\)/, 'ended'],
  ['answers 500', /step answered 500: KeyError: 'fail'/, 'failed'],
] as const) {
  test(`an env_service that ${how} at a step is asked twice, each time in an instance of its own; then the definition decides`, async () => {
    let created = 0;
    const steps: string[] = [];
    const service: RequestListener = async (request, response) => {
      let text = '';
      for await (const piece of request) text += String(piece);
      const answer = (data: unknown) => response.end(JSON.stringify({ success: true, data }));
      if (request.url === '/create') created++;
      if (request.url === '/create') return answer({ state: [{ role: 'user', content: 'Hello.' }] });
      if (request.url !== '/step') return answer(true);
      const { content } = (JSON.parse(text) as { messages: { content: string } }).messages;
      steps.push(content);
      if (content !== 'fail') return answer({ state: [{ role: 'user', content: 'Go on.' }], is_terminated: false });
      if (how === 'hangs up') return request.socket.destroy();
      if (how === 'answers 500') response.writeHead(500).end(JSON.stringify({ detail: "Traceback\nKeyError: 'fail'" }));
    };
    await serving(service, async (url) => {
      const open = (onStepFailure: OnStepFailure) =>
        openDefinition(
          defineAgentEvolverEnvironment({
            name: 'rooms',
            url,
            envType: 'rooms',
            splits: { train: 'train', heldout: 'val' },
            turns: 5,
            timeoutMs: 200,
            onStepFailure,
          }),
          HERE,
        );
      await assert.rejects(played(open('fault')), faultSaying(reason));
      assert.deepEqual([created, steps], [2, ['well', 'fail', 'well', 'fail']]);
      assert.equal(await played(open('refuse')), `Error: ${told}`);
    });
  });
}

test('an OpenEnv server that hangs or hangs up at a step is asked twice, each time in a session of its own; then the definition decides', async () => {
  for (const [how, reason, told] of [
    ['hangs', /did not answer within 200 ms/, 'took longer than 0.2 s'],
    ['hangs up', /closed the session \(code 1006\)/, 'ended the session'],
  ] as const) {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    let sessions = 0;
    server.on('connection', (socket) => {
      sessions++;
      socket.on('message', (raw) => {
        const { type, data } = JSON.parse(String(raw)) as { type: string; data?: { said?: string } };
        if (type === 'close') return socket.close();
        if (data?.said !== 'fail')
          return socket.send(
            JSON.stringify({ type: 'observation', data: { observation: { text: 'Go on.' }, reward: 0, done: false } }),
          );
        if (how === 'hangs up') socket.terminate();
      });
    });
    const open = (onStepFailure: OnStepFailure) =>
      openDefinition(
        defineOpenEnvEnvironment({
          name: 'words',
          url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
          task: z.object({ n: z.number() }),
          tasks: [{ id: 'a', split: 'train', n: 1 }],
          turns: 5,
          timeoutMs: 200,
          prompt: () => 'Hello.',
          action: ({ content }) => ({ said: content }),
          observe: ({ observation }) => String(observation['text']),
          onStepFailure,
        }),
        HERE,
      );
    try {
      await assert.rejects(played(open('fault')), faultSaying(reason));
      assert.equal(sessions, 2);
      assert.equal(await played(open('refuse')), `Error: ${told}`);
    } finally {
      for (const client of server.clients) client.terminate();
      server.close();
    }
  }
});

test('a sidecar that says twice that it cannot do a step, the second time in a restored episode, is a fault with its first words', async () => {
  const asked: string[] = [];
  const observation = { messages: [], done: false, hash: sha256('one') };
  const sidecar: RequestListener = (request, response) => {
    asked.push(request.url!);
    if (request.url === '/step')
      response
        .writeHead(500)
        .end(JSON.stringify({ code: 'internal', message: `/step: took more than ${asked.length} s` }));
    else response.end(JSON.stringify(request.url === '/close' ? {} : observation));
  };
  await serving(sidecar, async (url) => {
    const environment = new RestoringEnvironment(new EnvService({ name: 'bfcl', url }));
    await environment.reset({ episodeId: 'e', taskId: 'a', seed: 0 });
    await assert.rejects(environment.step({ episodeId: 'e', stepIndex: 1, action: { content: 'slow', calls: [] } }), {
      code: 'environment_fault',
      message:
        /answered 500: \/step: took more than 3 s\. A second try, in a fresh environment, failed as well: see its log/,
    });
    assert.deepEqual(asked, ['/close', '/reset', '/step', '/restore', '/step']);
  });
});
