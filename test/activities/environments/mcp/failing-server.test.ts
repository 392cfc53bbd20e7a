import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { defineEnvironment, defineMcpEnvironment, z } from '../../../../activities/environments/api.js';
import { classifyFailure } from '../../../../activities/failures.js';
import type { OnStepFailure } from '../../../../activities/environments/definition.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { RestoringEnvironment } from '../../../../activities/environments/restoring-environment.js';
import { parseCalls } from '../../../../activities/rollout/tool-calls.js';
import type { Action, Observation } from '../../../../schemas/environment-protocol.js';
import { startedOf } from './started.js';

const FAKE = path.resolve('test/activities/environments/mcp/fake-mcp.mjs');
const HERE = { folder: '.', file: (relative: string) => relative };
const act = (content: string): Action => ({ content, calls: parseCalls(content, 'call-lines') });
const LIMIT_MS = 400;
const TASK = { task: z.object({ n: z.number() }), tasks: [{ id: 'a', split: 'train' as const, n: 1 }] };

interface Options {
  readonly onStepFailure?: OnStepFailure;
  readonly stepTimeoutMs?: number;
  /** A file to which each server that is started adds a letter. */
  readonly log?: string;
}

/** An environment on the fake server, in one of its modes. */
function fake(mode: string, { log = '', stepTimeoutMs = 20_000, ...options }: Options = {}) {
  const server = { command: process.execPath, args: [FAKE, mode, log] };
  const spec = {
    name: 'fake',
    ...TASK,
    turns: 4,
    stepTimeoutMs,
    prompt: () => 'Hello.',
    next: () => 'Go on.',
    verify: () => 1,
  };
  return openDefinition(defineMcpEnvironment({ ...spec, ...options, server }), HERE);
}

async function play(environment: ReturnType<typeof fake>, ...script: string[]): Promise<Observation[]> {
  const restoring = new RestoringEnvironment(environment, { maxWaitMs: 300 });
  const observations = [await restoring.reset({ episodeId: 'e', taskId: 'a', seed: 0 })];
  try {
    for (const [index, content] of script.entries())
      observations.push(await restoring.step({ episodeId: 'e', stepIndex: index + 1, action: act(content) }));
    return observations;
  } finally {
    await environment.end();
  }
}
const read = async (environment: ReturnType<typeof fake>, ...script: string[]) =>
  (await play(environment, ...script)).at(-1)!.messages[0]!.content;

/** Mode of the server, its limit for a step, the call that fails, what the fault says of it, what the model reads of it. */
const FAILURES: readonly [string, number, string, RegExp, string][] = [
  ['hang', LIMIT_MS, 'go(1)', /CALL go\(1\) took longer than 0\.4 s \(stepTimeoutMs\)/, 'took longer than 0.4 s'],
  ['wrongid', LIMIT_MS, 'go(1)', /took longer than 0\.4 s .*unknown message ID: .*"id":999/, 'took longer than 0.4 s'],
  [
    'prose',
    LIMIT_MS,
    'go(1)',
    /took longer than 0\.4 s .*; it said: the answer is 42 \(on its output/,
    'took longer than 0.4 s',
  ],
  ['dies', 20_000, 'go(13)', /CALL go\(13\) .*Connection closed.*it said: Segmentation fault/, 'its server ended'],
  ['nullcontent', 20_000, 'go(1)', /answered a call of go without content/, 'its answer could not be read'],
  [
    'oddcontent',
    20_000,
    'go(1)',
    /Invalid result .*content: .*expected array, received string/,
    'its answer could not be read',
  ],
  ['rpcerror', 20_000, 'go(1)', /Internal error: database is locked/, 'its server failed'],
];

for (const [mode, stepTimeoutMs, call, reason, told] of FAILURES) {
  test(`a call that fails each time (${mode}) is made twice: a fault that pauses the run with the first reason, or a refusal that the model reads`, async () => {
    const log = await startedOf('fault');
    await assert.rejects(play(fake(mode, { stepTimeoutMs, log: log.file }), `CALL ${call}`), (error: Error) => {
      assert.match(error.message, reason);
      assert.match(
        error.message,
        /^environment fake, task a, turn 1: CALL .*A second try, in a fresh environment, failed as well: .*onStepFailure: "refuse"/s,
      );
      assert.deepEqual(error.message.match(/an error that says "(.*?)"/)?.[1], told);
      assert.equal((classifyFailure(error) as { nonRetryable?: boolean }).nonRetryable, true);
      return true;
    });
    assert.equal(await log.count(), 2); // servers: one for each try
    assert.equal(
      await read(fake(mode, { stepTimeoutMs, onStepFailure: 'refuse' }), `CALL ${call}`),
      `Result: Error: go: ${told}\nGo on.`,
    );
  });
}

test('of several calls those before the one that fails are made once more in a fresh server, those after it are left out', async () => {
  const said = await read(
    fake('dies', { onStepFailure: 'refuse' }),
    'CALL go(1)',
    'CALL go(2)\nCALL go(13)\nCALL go(3)',
  );
  // The fresh server's second call: the first step was played again, the call that killed the other two servers was not.
  assert.equal(
    said,
    'Result: go({"n":2}) call 2\nResult: Error: go: its server ended\nResult: Error: not executed: the call before it failed\nGo on.',
  );
});

test('a refused call is never made again: neither when its episode is restored, nor by another that comes to the same point', async () => {
  const log = await startedOf('refused');
  const environment = fake('dies', { onStepFailure: 'refuse', log: log.file });
  const start = (episodeId: string) => ({ episodeId, taskId: 'a', seed: 0 });
  const actions = [act('CALL go(1)'), act('CALL go(13)')];
  const observations = [await environment.reset(start('e'))];
  for (const [index, action] of actions.entries())
    observations.push(await environment.step({ episodeId: 'e', stepIndex: index + 1, action }));
  assert.equal(await log.count(), 3); // two that died of it, one that goes on
  await environment.close('e');
  const restored = await environment.restore({
    ...start('e'),
    actions,
    observationHashes: observations.map(({ hash }) => hash),
  });
  assert.deepEqual(restored, observations[2]);
  await environment.reset(start('f'));
  await environment.step({ episodeId: 'f', stepIndex: 1, action: actions[0]! });
  assert.deepEqual(await environment.step({ episodeId: 'f', stepIndex: 2, action: actions[1]! }), observations[2]);
  assert.equal(await log.count(), 5); // one more for each
  await environment.end();
  // A worker that starts anew tries the call again, and tells the model the same bytes.
  assert.deepEqual(await play(fake('dies', { onStepFailure: 'refuse' }), 'CALL go(1)', 'CALL go(13)'), observations);
});

const WAITS = {
  ...TASK,
  name: 'waits',
  turns: 4,
  stepTimeoutMs: 250,
  tools: {
    wait: {
      description: 'waits',
      parameters: z.object({ s: z.number() }),
      run: ({ s }: { s: number }) => new Promise((resolve) => setTimeout(() => resolve('slept'), s * 1000)),
    },
  },
  prompt: () => 'Hello.',
  next: () => 'Go on.',
  verify: () => 1,
};

test('tools that fail at whatever they are asked are a fault, though their definition refuses failing steps', async () => {
  const environment = openDefinition(defineEnvironment({ ...WAITS, onStepFailure: 'refuse' }), HERE);
  const ask = async (seed: number) => {
    await environment.reset({ episodeId: `e${seed}`, taskId: 'a', seed });
    return environment.step({ episodeId: `e${seed}`, stepIndex: 1, action: act('CALL wait(1)') });
  };
  const outcomes = await Promise.allSettled(Array.from({ length: 21 }, (_, seed) => ask(seed)));
  const faults = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []));
  assert.equal(faults.length, 1);
  assert.match(faults[0]!.message, /CALL wait\(1\) took longer than 0\.25 s.*so did the 20 steps before it/);
});

test('a function of one’s own that takes too long is told or refused in the same way', async () => {
  await assert.rejects(play(openDefinition(defineEnvironment(WAITS), HERE), 'CALL wait(1)'), {
    code: 'environment_fault',
    message: /turn 1: CALL wait\(1\) took longer than 0\.25 s \(stepTimeoutMs\)\. A second try/,
  });
  assert.equal(
    await read(openDefinition(defineEnvironment({ ...WAITS, onStepFailure: 'refuse' }), HERE), 'CALL wait(1)'),
    'Result: Error: wait: took longer than 0.25 s\nGo on.',
  );
  assert.equal(await read(openDefinition(defineEnvironment(WAITS), HERE), 'CALL wait(0)'), 'Result: slept\nGo on.');
  assert.throws(() => defineEnvironment({ ...WAITS, onStepFailure: 'skip' as never }), {
    name: 'BadConfig',
    message: /onStepFailure.*"skip".*"fault" or "refuse"/,
  });
  const loops = {
    ...WAITS.tools.wait,
    run: () => {
      for (;;);
    },
  };
  assert.equal(
    await read(
      openDefinition(defineEnvironment({ ...WAITS, tools: { wait: loops }, onStepFailure: 'refuse' }), HERE),
      'CALL wait(1)',
    ),
    'Result: Error: wait: took longer than 0.25 s\nGo on.',
  );
});

test('only a refusal of arguments is the model’s: what was sent is read, whatever it breaks of the server’s own schema', async () => {
  assert.equal(await read(fake('badparams'), 'CALL go(1)'), 'Result: Error: Invalid arguments: n must be even\nGo on.');
  assert.equal(await read(fake('iserror'), 'CALL go(1)'), 'Result: Error: File not found: x\nGo on.');
  assert.equal(await read(fake('newpart'), 'CALL go(1)'), 'Result: [video video/mp4]\nx\nGo on.');
  assert.equal(
    await read(fake('outschema'), 'CALL typed(1)\nCALL typed(2)\nCALL typed(3)'),
    'Result: sum is 1\nResult: x\nResult: 3\nGo on.',
  );
});

test('a failure in `start` or `verify` is told after two tries, with the call that failed', async () => {
  const server = { command: process.execPath, args: [FAKE, 'dies'] };
  const spec = { name: 'fake', ...TASK, turns: 1, server, prompt: () => 'Hello.', verify: () => 1 };
  const fails = {
    code: 'environment_fault',
    message: /did not answer a call of go: .*Segmentation fault\. A second try, in a fresh environment, failed as well/,
  };
  await assert.rejects(
    play(
      openDefinition(
        defineMcpEnvironment({ ...spec, start: async ({ call }) => void (await call('go', { n: 13 })) }),
        HERE,
      ),
    ),
    fails,
  );
  const judged = openDefinition(
    defineMcpEnvironment({ ...spec, verify: async ({ call }) => (await call('go', { n: 13 })) === '' }),
    HERE,
  );
  await judged.reset({ episodeId: 'e', taskId: 'a', seed: 0 });
  await assert.rejects(new RestoringEnvironment(judged).evaluate('e'), fails);
  await judged.end();
  const refuses = {
    ...spec,
    server: { ...server, args: [FAKE, 'iserror'] },
    start: async ({ call }: { call: (tool: string, given: object) => Promise<string> }) =>
      void (await call('go', { n: 1 })),
  };
  await assert.rejects(play(openDefinition(defineMcpEnvironment(refuses as never), HERE)), {
    message: /start .*the tool go refused \{"n":1\}: File not found: x/,
  });
});

test('a server that does not come up is told with what it printed and how it ended', async () => {
  const start = (mode: string, startTimeoutMs = 20_000) => {
    const server = { command: process.execPath, args: [FAKE, mode] };
    const definition = defineMcpEnvironment({
      name: 'fake',
      ...TASK,
      turns: 1,
      server,
      startTimeoutMs,
      prompt: () => 'Hello.',
      verify: () => 1,
    });
    return openDefinition(definition, HERE).reset({ episodeId: 'e', taskId: 'a', seed: 0 });
  };
  await assert.rejects(start('stdout-error'), {
    message: /exit status 1; it said: Error: database file is missing, run setup first \(on its output/,
  });
  await assert.rejects(start('needs-key'), { message: /it said: Error: API_KEY is required/ });
  await assert.rejects(start('noise', 500), {
    message:
      /Request timed out; it said: .*partial without newline\{"jsonrpc".*only messages of the protocol belong, one a line/s,
  });
});

test('an address that speaks no streamable HTTP, or that wants credentials, is a wrong definition and not waited for', async () => {
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/sse' ? 404 : 401;
    response.end('<html>Cannot POST</html>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = (where: string) => ({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${where}` });
  const start = (where: string) =>
    openDefinition(
      defineMcpEnvironment({
        name: 'far',
        ...TASK,
        turns: 1,
        server: at(where),
        prompt: () => 'Hello.',
        verify: () => 1,
      }),
      HERE,
    ).reset({ episodeId: 'e', taskId: 'a', seed: 0 });
  try {
    await assert.rejects(start('/sse'), {
      name: 'BadConfig',
      message: /\/sse: HTTP 404: this address speaks no streamable HTTP .*SSE/,
    });
    await assert.rejects(start('/mcp'), {
      name: 'BadConfig',
      message: /HTTP 401: it wants credentials: give them as `headers`/,
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
