import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import getPort from 'get-port';
import { WebSocketServer } from 'ws';
import {
  defineEnvironment,
  defineMcpEnvironment,
  defineOpenEnvEnvironment,
  z,
} from '../../../activities/environments/api.js';
import type { RestorableEnvironment } from '../../../activities/environments/environment.js';
import { alteredNumber, plainNumbers, withExactNumbers } from '../../../activities/environments/exact-numbers.js';
import { openDefinition } from '../../../activities/environments/open-definition.js';
import { parseCalls, type CallFormat } from '../../../activities/rollout/tool-calls.js';
import { PYTHON } from './sidecar-process.js';

const HERE = { folder: '.', file: (relative: string) => relative };
const SERVER = 'test/activities/environments/mcp/arguments_server.py';
const TASKS = [{ id: 'a', split: 'train' as const, k: 0 }];

/** The user's messages after a response. */
async function answers(environment: RestorableEnvironment, content: string, format: CallFormat): Promise<string> {
  await environment.reset({ episodeId: 'e', taskId: 'a', seed: 0 });
  const { messages } = await environment.step({
    episodeId: 'e',
    stepIndex: 1,
    action: { content, calls: parseCalls(content, format) },
  });
  await environment.close('e');
  return messages.map((message) => message.content).join('\n');
}

const onServer = (server: { command: string; args: string[] } | { url: string }, format: CallFormat) =>
  openDefinition(
    defineMcpEnvironment({
      name: 'arguments',
      task: z.object({ k: z.number() }),
      tasks: TASKS,
      turns: 1,
      server,
      format,
      prompt: () => 'Go.',
      verify: () => 0,
    }),
    HERE,
  );

// Oracle: Python's json and repr, at the other end of the wire.
const NUMBERS = '[9007199254740991, 1.0, 1, -0.0, 1e3, 2.5, {"deep": [100000000000000000000.0]}]';
const READ = "[9007199254740991, 1.0, 1, -0.0, 1000.0, 2.5, {'deep': [1e+20]}]";

async function overEachWire(format: CallFormat, content: string): Promise<string[]> {
  const overStdio = await answers(onServer({ command: PYTHON, args: [SERVER] }, format), content, format);
  const port = await getPort();
  const server = spawn(PYTHON, [SERVER, String(port)], { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    while (
      !(await fetch(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => false,
      ))
    )
      await sleep(50);
    return [overStdio, await answers(onServer({ url: `http://127.0.0.1:${port}/mcp` }, format), content, format)];
  } finally {
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
  }
}

test('numbers reach an MCP server as they were written, over stdio and over HTTP, in both notations', async () => {
  const line = `CALL show(n=${NUMBERS}, x='{"$number":"5"}')`;
  for (const said of await overEachWire('call-lines', line))
    assert.equal(said, `Result: {'n': ${READ}, 'x': '{"$number":"5"}'}`);
  const json = `<tool_call>\n{"name": "show", "arguments": {"n": ${NUMBERS}, "x": "{\\"$number\\":\\"5\\"}"}}\n</tool_call>`;
  for (const said of await overEachWire('hermes', json))
    assert.equal(said, `<tool_response>\n{'n': ${READ}, 'x': '{"$number":"5"}'}\n</tool_response>`);
});

test('arguments whose names are none in Python are listed in quotes, and a call writes them so', async () => {
  const environment = onServer({ command: PYTHON, args: [SERVER] }, 'call-lines');
  const { messages } = await environment.reset({ episodeId: 'p', taskId: 'a', seed: 0 });
  await environment.close('p');
  assert.equal(
    messages[0]!.content,
    [
      'Tools:',
      "show(n?, x?, '$filter'?, 'max-results'?, 'filter[id]'?, 'StartTime<'?, größe?)",
      "Answer with CALL lines only. Names in quotes are written with them: CALL show('$filter'=...).",
    ].join('\n'),
  );
  const said = await answers(
    environment,
    "CALL show('$filter'='a eq 1', 'max-results'=3, \"filter[id]\"=None, 'StartTime<'='2026', größe=2.0)",
    'call-lines',
  );
  assert.equal(
    said,
    "Result: {'$filter': 'a eq 1', 'max-results': 3, 'filter[id]': None, 'StartTime<': '2026', 'größe': 2.0}",
  );
});

test('numbers reach an OpenEnv server as they were written', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const asked: string[] = [];
  server.on('connection', (socket) =>
    socket.on('message', (data) => {
      asked.push(String(data));
      socket.send(JSON.stringify({ type: 'observation', data: { observation: {}, reward: 0, done: false } }));
    }),
  );
  try {
    const { port } = server.address() as { port: number };
    const environment = openDefinition(
      defineOpenEnvEnvironment({
        name: 'raw',
        url: `http://127.0.0.1:${port}`,
        task: z.object({ k: z.number() }),
        tasks: TASKS,
        turns: 1,
        prompt: () => 'Go.',
        observe: () => 'ok',
        action: ({ calls: [call] }) => ({ n: (call as { positional: unknown[] }).positional[0] }),
      }),
      HERE,
    );
    await answers(environment, 'CALL f([12345678901234567890, 1.0, 5., 00.5e1])', 'call-lines');
    assert.equal(asked[1], '{"type":"step","data":{"n":[12345678901234567890,1.0,5.0,0.5e1]}}');
  } finally {
    server.close();
    for (const client of server.clients) client.terminate();
  }
});

test('a tool that is a function gets JavaScript numbers', async () => {
  const seen: unknown[] = [];
  const environment = openDefinition(
    defineEnvironment({
      name: 'function',
      task: z.object({ k: z.number() }),
      tasks: TASKS,
      turns: 1,
      prompt: () => 'Go.',
      tools: { show: { description: '', parameters: z.object({ n: z.any() }), run: ({ n }) => JSON.stringify(n) } },
      verify: ({ turns }) => (seen.push(turns[0]!.calls[0]!.arguments), 0),
    }),
    HERE,
  );
  assert.equal(
    await answers(environment, 'CALL show([1.0, -3, 1e3, 2.5, 9007199254740991])', 'call-lines'),
    'Result: [1,-3,1000,2.5,9007199254740991]',
  );
  await environment.reset({ episodeId: 'v', taskId: 'a', seed: 0 });
  const calls = parseCalls('CALL show([1.0, 2])', 'call-lines');
  await environment.step({ episodeId: 'v', stepIndex: 1, action: { content: '', calls } });
  await environment.evaluate('v');
  assert.deepEqual(seen, [{ n: [1, 2] }]);
});

test('a number that JavaScript would alter is refused with what it is, for functions and for MCP servers, which may be written in it', async () => {
  const inProcess = openDefinition(
    defineEnvironment({
      name: 'function',
      task: z.object({ k: z.number() }),
      tasks: TASKS,
      turns: 1,
      prompt: () => 'Go.',
      verify: () => 0,
      tools: { show: { description: '', parameters: z.object({ n: z.any() }), run: () => 'was called' } },
    }),
    HERE,
  );
  for (const environment of [inProcess, onServer({ command: PYTHON, args: [SERVER] }, 'call-lines')]) {
    for (const [written, told] of [
      [
        '12345678901234567890',
        '12345678901234567890 is an integer beyond ±9007199254740991, which is not kept exactly: if it is a name or an id, write it in quotes',
      ],
      ["{'a': [-9007199254740992]}", '-9007199254740992 is an integer beyond'],
      ['1e400', '1e400 is beyond the range of numbers'],
    ] as const) {
      assert.ok(
        (await answers(environment, `CALL show(${written})`, 'call-lines')).startsWith(`Result: Error: show: ${told}`),
        written,
      );
    }
  }
});

test('only marks are written as numbers, never a text that looks like one', () => {
  for (const value of [
    { a: '{"$number":"1"}' },
    { $number: 'x' },
    { $number: '1', b: 2 },
    { $number: 5 },
    { $number: '1e' },
    ['$number', '1'],
  ]) {
    assert.equal(withExactNumbers(JSON.stringify(value)), JSON.stringify(value));
  }
  assert.equal(withExactNumbers('[{"$number":"1."},{"$number":"-.5E3"},{"$number":"+007"}]'), '[1.0,-0.5E3,7]');
  assert.deepEqual(plainNumbers({ a: [{ $number: '-0' }, { $number: '5.0' }] }), { a: [-0, 5] });
  assert.equal(alteredNumber({ a: [{ $number: '1e308' }, { $number: '-0' }, 7, '12345678901234567890'] }), null);
});

test('an argument that no call can name is refused with the tool and the name', async () => {
  const named = (name: string) =>
    openDefinition(
      defineEnvironment({
        name: 'reserved',
        task: z.object({ k: z.number() }),
        tasks: TASKS,
        turns: 1,
        prompt: () => 'Go.',
        verify: () => 0,
        tools: { show: { description: '', parameters: z.object({ [name]: z.any() }), run: () => '' } },
      }),
      HERE,
    );
  await assert.rejects(named('$number').reset({ episodeId: 'e', taskId: 'a', seed: 0 }), {
    name: 'BadConfig',
    message: /tools: show has an argument \$number/,
  });
  await named('$filter').reset({ episodeId: 'e', taskId: 'a', seed: 0 });
});
