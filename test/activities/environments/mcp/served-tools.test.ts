import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { defineMcpEnvironment, z } from '../../../../activities/environments/api.js';
import { openDefinition } from '../../../../activities/environments/open-definition.js';
import { parseCalls } from '../../../../activities/rollout/tool-calls.js';

const FAKE = path.resolve('test/activities/environments/mcp/fake-mcp.mjs');
const TASK = { task: z.object({ n: z.number() }), tasks: [{ id: 'a', split: 'train' as const, n: 1 }] };
type Spec = Parameters<typeof defineMcpEnvironment<typeof TASK.task>>[0];

const environmentOf = (mode: string, more: Partial<Spec> = {}, folder = '.') =>
  openDefinition(
    defineMcpEnvironment({
      ...TASK,
      name: 'fake',
      turns: 2,
      server: { command: process.execPath, args: [FAKE, mode] },
      prompt: () => 'Hello.',
      next: () => 'Go on.',
      verify: () => 1,
      ...more,
    }),
    { folder, file: (relative) => relative },
  );

/** The system message, and the lines that answer one response. */
async function played(environment: ReturnType<typeof environmentOf>, content: string) {
  try {
    const { messages } = await environment.reset({ episodeId: 'e', taskId: 'a', seed: 0 });
    const after = await environment.step({
      episodeId: 'e',
      stepIndex: 1,
      action: { content, calls: parseCalls(content, environment.callFormat) },
    });
    return {
      system: messages[0]!.content,
      lines: after.messages[0]!.content.split('\n').map((line) => line.replace(/^Result: /, '')),
    };
  } finally {
    await environment.end();
  }
}

test('arguments reach the server whichever way its schema names them, or does not', async () => {
  const calls = [
    "rootany(a='q')",
    "rootany(b='q')",
    "rootany('first')",
    "allof(a='q')",
    'noprops(a=1)',
    'openprops(z=2)',
    "typedextra(other='x')",
    "ref({'x': 1})",
  ];
  const { lines, system } = await played(
    environmentOf('schemas', { maxCalls: 20 }),
    calls.map((call) => `CALL ${call}`).join('\n'),
  );
  assert.deepEqual(lines.slice(0, -1), [
    'rootany({"a":"q"}) call 1',
    'rootany({"b":"q"}) call 2',
    'rootany({"a":"first"}) call 3',
    'allof({"a":"q"}) call 4',
    'noprops({"a":1}) call 5',
    'openprops({"z":2}) call 6',
    'typedextra({"other":"x"}) call 7',
    'ref({"p":{"x":1}}) call 8',
  ]);
  assert.match(system, /^rootany\(a\?, b\?\): rootany$/m); // either of them
  assert.match(system, /^allof\(a\): allof$/m);
});

test('what a schema excludes is refused here, with the names that it has', async () => {
  const { lines } = await played(environmentOf('closed'), "CALL closed(b='q')\nCALL either(c=1)\nCALL either(b=1)");
  assert.deepEqual(lines.slice(0, 3), [
    'Error: closed: has no argument "b", it has a',
    'Error: either: has no argument "c", it has a, b',
    'either({"b":1}) call 1',
  ]);
});

test('a tool that the server adds during an episode can be called from then on, unless `tools` chose some', async () => {
  const script = 'CALL enter()\nCALL open_door()\nCALL enter()';
  assert.deepEqual((await played(environmentOf('changes'), script)).lines.slice(0, 3), [
    'Error: "enter" is not a tool, the tools are open_door',
    'the door is open: a new tool "enter" is there',
    'you are in',
  ]);
  assert.match(
    (await played(environmentOf('changes', { tools: ['open_door'] }), script)).lines[2]!,
    /"enter" is not a tool/,
  );
});

test('a server runs in the module’s folder, or in `cwd` below it', async () => {
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'seeupo-cwd-')));
  await mkdir(path.join(folder, 'server'));
  const cwd = async (given: object) =>
    (
      await played(
        environmentOf('pwd', { server: { command: process.execPath, args: [FAKE, 'pwd'], ...given } }, folder),
        'CALL go()',
      )
    ).lines[0]!.split(' ')[1];
  assert.equal(await cwd({}), folder);
  assert.equal(await cwd({ cwd: './server' }), path.join(folder, 'server'));
  assert.equal(await cwd({ cwd: tmpdir() }), await realpath(tmpdir()));
});

const WRONG: readonly [unknown, RegExp][] = [
  [{ command: 'node', arg: ['x'] }, /server\.arg: is no field of a server with a command: did you mean args\?/],
  [
    { command: 'node', workingDirectory: '.' },
    /server\.workingDirectory: is no field .*its fields are command, args, env, cwd/,
  ],
  [{ command: 'node', args: '-y server' }, /server\.args: is "-y server", expected a list of texts/],
  [{ command: 'node', args: ['-p', 3001] }, /server\.args: is \["-p",3001\], expected a list of texts/],
  [{ command: 'node', env: { DEBUG: true } }, /server\.env: is \{"DEBUG":true\}, expected an object of texts/],
  [{ command: ['node', 'x.js'] }, /server\.command: is \["node","x\.js"\], expected the name or path of a program/],
  [{ command: undefined }, /server\.command: is undefined/],
  [
    { url: 'http://127.0.0.1:1/mcp', header: {} },
    /server\.header: is no field of a server with a url: did you mean headers\?/,
  ],
  [{ command: 'node', url: 'http://127.0.0.1:1/mcp' }, /both a command and a url/],
  [{ cmd: 'node' }, /neither a command nor a url \(its fields are cmd\)/],
];

test('a server’s description is checked field by field, also one that a function gives; an async one is told', async () => {
  const start = (server: unknown) =>
    environmentOf('go', { server: (() => server) as never }).reset({ episodeId: 'e', taskId: 'a', seed: 0 });
  for (const [server, message] of WRONG) {
    await assert.rejects(start(server), { name: 'BadConfig', message });
    assert.throws(() => environmentOf('go', { server: server as never }), { name: 'BadConfig', message });
  }
  await assert.rejects(start(Promise.resolve({ command: 'node' })), {
    code: 'environment_fault',
    message: /server gave a Promise.*, expected .*\{ command, args \} or \{ url \}.*async/,
  });
  await assert.rejects(start(null), {
    code: 'environment_fault',
    message: /server gave null, expected .*\{ command, args \} or \{ url \}/,
  });
});

test('the definition can reword a server’s tools, whose schemas go on to hold', async () => {
  const server = { maxCalls: 2 };
  const [plain, short] = [
    await played(environmentOf('many', server), 'CALL tool_3(a=1)'),
    await played(environmentOf('many', { ...server, describe: () => 'does it' }), 'CALL tool_3(a=1)'),
  ];
  assert.match(plain.system, /^tool_3\(a\?\): d{200}$/m);
  assert.match(short.system, /^tool_3\(a\?\): does it$/m);
  assert.deepEqual(short.lines, plain.lines);
  const hermes = await played(
    environmentOf('many', {
      format: 'hermes',
      describe: { tool_3: { inputSchema: { type: 'object', properties: { a: { type: 'string' } } } }, tool_4: 'four' },
    }),
    'no call',
  );
  assert.ok(
    hermes.system.includes(
      '{"type":"function","function":{"name":"tool_3","description":"' +
        'd'.repeat(200) +
        '","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}',
    ),
  );
  assert.ok(
    hermes.system.includes(
      '"name":"tool_4","description":"four","parameters":{"type":"object","properties":{"a":{"type":"string","description":"xxx',
    ),
  );
  await assert.rejects(played(environmentOf('many', { describe: { tol_3: 'x' } }), ''), {
    name: 'BadConfig',
    message: /describe: its MCP server has no "tol_3", did you mean tool_3\?/,
  });
  await assert.rejects(async () => played(environmentOf('many', { describe: (async () => 'x') as never }), ''), {
    name: 'BadConfig',
    message: /describe is asynchronous/,
  });
  await assert.rejects(played(environmentOf('many', { describe: (() => 5) as never }), ''), {
    code: 'environment_fault',
    message: /describe gave the number 5, expected a text, or \{ description, inputSchema \}/,
  });
  await assert.rejects(async () => played(environmentOf('many', { describe: { tool_3: 5 } as never }), ''), {
    name: 'BadConfig',
    message: /describe has for "tool_3" the number 5, expected a text/,
  });
});
