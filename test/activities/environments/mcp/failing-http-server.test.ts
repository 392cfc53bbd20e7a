import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { defineMcpEnvironment, z } from '../../../../activities/environments/api.js';
import type { OnStepFailure } from '../../../../activities/environments/definition.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { RestoringEnvironment } from '../../../../activities/environments/restoring-environment.js';
import { parseCalls } from '../../../../activities/rollout/tool-calls.js';

type Answer = (id: unknown, response: ServerResponse, request: IncomingMessage) => void;

const json = (response: ServerResponse, status: number, body: object) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', ...body }));

/** Plays one call on a server over HTTP whose tools/call is answered so; the user's message that follows. */
async function played(answer: Answer, onStepFailure: OnStepFailure): Promise<string> {
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const piece of request) text += String(piece);
    if (request.method !== 'POST') return response.writeHead(405).end();
    const { id, method } = JSON.parse(text) as { id?: unknown; method: string };
    if (id === undefined) return response.writeHead(202).end();
    if (method === 'initialize')
      return json(response, 200, {
        id,
        result: {
          protocolVersion: '2025-06-18',
          capabilities: { tools: {} },
          serverInfo: { name: 'fake', version: '0' },
        },
      });
    if (method === 'tools/list')
      return json(response, 200, { id, result: { tools: [{ name: 'go', inputSchema: { type: 'object' } }] } });
    return answer(id, response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
  const definition = defineMcpEnvironment({
    name: 'far',
    task: z.object({ n: z.number() }),
    tasks: [{ id: 'a', split: 'train', n: 1 }],
    turns: 2,
    server: { url },
    stepTimeoutMs: 1000,
    onStepFailure,
    prompt: () => 'Hello.',
    next: () => 'Go on.',
    verify: () => 1,
  });
  const environment = openDefinition(definition, { folder: '.', file: (relative) => relative });
  const restoring = new RestoringEnvironment(environment, { maxWaitMs: 200 });
  try {
    await restoring.reset({ episodeId: 'e', taskId: 'a', seed: 0 });
    const content = 'CALL go(n=1)';
    const { messages } = await restoring.step({
      episodeId: 'e',
      stepIndex: 1,
      action: { content, calls: parseCalls(content, 'call-lines') },
    });
    return messages[0]!.content;
  } finally {
    await environment.end();
    server.closeAllConnections();
    server.close();
  }
}

const FAILURES: readonly [string, Answer, RegExp, string][] = [
  ['hangs', () => {}, /took longer than 1 s/, 'took longer than 1 s'],
  [
    'ends the connection',
    (_, __, request) => request.socket.destroy(),
    /fetch failed: other side closed/,
    'its server ended',
  ],
  ['answers 500', (_, response) => response.writeHead(500).end('boom'), /HTTP 500: .*boom/, 'its server failed'],
  [
    'forgets its session',
    (_, response) => response.writeHead(404).end('no such session'),
    /HTTP 404: .*no such session/,
    'its server failed',
  ],
  [
    'answers a page',
    (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
    /Unexpected content type: text\/html/,
    'its answer could not be read',
  ],
  [
    'answers half of a message',
    (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"json'),
    /JSON/,
    'its answer could not be read',
  ],
  [
    'answers another request',
    (_, response) => json(response, 200, { id: 999, result: { content: [] } }),
    /unknown message ID: .*999/,
    'took longer than 1 s',
  ],
  [
    'answers an error of its own',
    (id, response) => json(response, 200, { id, error: { code: -32000, message: 'no disk' } }),
    /no disk/,
    'its server failed',
  ],
];

for (const [how, answer, reason, told] of FAILURES) {
  test(`a server over HTTP that ${how} at a call is told with the reason after two tries, or refused to the model`, async () => {
    await assert.rejects(played(answer, 'fault'), {
      code: 'environment_fault',
      message: new RegExp(`CALL go\\(n=1\\) .*${reason.source}.*A second try`, 's'),
    });
    assert.equal(await played(answer, 'refuse'), `Result: Error: go: ${told}\nGo on.`);
  });
}

test('arguments that are refused over HTTP are the model’s to read, with HTTP’s code for it or without', async () => {
  for (const status of [200, 400]) {
    const refusing: Answer = (id, response) =>
      json(response, status, { id, error: { code: -32602, message: 'n must be even' } });
    assert.equal(await played(refusing, 'fault'), 'Result: Error: n must be even\nGo on.');
  }
});

test('a gateway without its server is waited for, and named with its reason when that takes too long', async () => {
  await assert.rejects(
    played((_, response) => response.writeHead(503).end('busy'), 'refuse'),
    { name: 'EnvironmentUnavailable', message: /HTTP 503: .*busy/ },
  );
});
